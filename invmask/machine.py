"""The machine's processor, and the arithmetic that suits it."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

Precision = Literal["float32", "bfloat16"]


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
    """Whether the processor multiplies bfloat16 in hardware (AMX or AVX512-BF16; CUDA's own answer there)."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    info = Path("/proc/cpuinfo")
    words = set(info.read_text().split()) if info.exists() else set()
    return bool(words & {"amx_bf16", "avx512_bf16"})


def choose_precision(device: str = "cpu") -> Precision:
    """bfloat16 where the hardware has it, float32 elsewhere."""
    return "bfloat16" if has_bfloat16(device) else "float32"


@contextlib.contextmanager
def autocast(precision: Precision, device: str = "cpu") -> Iterator[None]:
    """Run the networks inside in `precision`; everything else stays as it is."""
    kind, low = torch.device(device).type, precision == "bfloat16"
    # On processors, PyTorch's fused attention is slower backwards in bfloat16 than its plain one.
    attention = sdpa_kernel(SDPBackend.MATH) if low and kind == "cpu" else contextlib.nullcontext()
    with torch.autocast(kind, torch.bfloat16, enabled=low), attention:
        yield
