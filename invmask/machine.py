"""The machine's processor, and the precision that suits it."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]

# On CPUs, the backward pass of PyTorch's fused attention is slower in bfloat16 than that of its plain attention. The
# setting is global to the process, so it is made once. If each pass set it, threads would interfere with each other and
# records would differ.
if not torch.cuda.is_available():
    torch.backends.cuda.enable_flash_sdp(False)


def processor(device: str = "cpu") -> str:
    """The processor's name as its maker writes it, with the number of cores (or the accelerator's name)."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


def has_bfloat16(device: str = "cpu") -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AMX or AVX512-BF16; CUDA devices from Ampere on)."""
    if device.startswith("cuda"):
        # A missing device is reported later, when a network is moved to it.
        if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
            return False
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.exists() else set()
    return bool(words & {"amx_bf16", "avx512_bf16"})


class InEitherPrecision:
    """Mixin for training settings whose field `bfloat16` decides the precision."""

    bfloat16: bool

    @property
    def precision(self) -> Precision:
        """The precision in which the networks run."""
        return "bfloat16" if self.bfloat16 else "float32"


def device_kind(device: str) -> str:
    """`cuda` for `cuda:1`. Results may be averaged over devices of one kind, because these compute alike."""
    return device.partition(":")[0]


def choose_precision(device: str = "cpu") -> Precision:
    """bfloat16 where the hardware has it, float32 elsewhere."""
    return "bfloat16" if has_bfloat16(device) else "float32"


@contextlib.contextmanager
def autocast(precision: Precision, device: str = "cpu") -> Iterator[None]:
    """Run networks inside the block in `precision`."""
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield
