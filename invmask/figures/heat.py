"""Feature maps and attributions as small pictures, in perceptually uniform colours."""

import numpy as np

from invmask.figures.network_map import colour_scale
from invmask.figures.palette import Theme
from invmask.figures.pictures import VEIL, veil_limit
from invmask.figures.ramps import RECEDING_COLOURS, ramp
from invmask.figures.ramps import SELECTED_COLOURS as VIVID


def heat_pixels(maps: np.ndarray, limit: float, theme: Theme) -> np.ndarray:
    """Signed numbers as pictures: 0 recedes, positive teal, negative magenta.

    Args:
        maps: float [N, H, W].
        limit: the number, above 0, that has the full colour; use the same one for all pictures that are compared.

    Returns:
        uint8 [N, H, W, 3].
    """
    return _colours((np.clip(maps / max(limit, 1e-12), -1, 1) + 1) / 2, colour_scale("signed", theme))


def overlay_pixels(images: np.ndarray, maps: np.ndarray, theme: Theme) -> np.ndarray:
    """Attributions over their images: grey where nothing supports the class, violet where the support is strongest.

    Args:
        images: uint8 [N, H, W, C].
        maps: float [N, H, W]; each map is scaled by its 99th percentile, and negative values are left out.

    Returns:
        uint8 [N, H, W, 3].
    """
    limits = np.array([veil_limit(each) for each in maps])[:, None, None]
    share = np.clip(maps / limits, 0, 1)[..., None]
    grey = images.mean(-1, keepdims=True).repeat(3, -1)
    vivid = _colours(share[..., 0], ramp(RECEDING_COLOURS[theme], VIVID[theme])).astype(np.float64)
    # Translucent, so that the picture stays visible where the attribution is highest.
    return (grey * (1 - VEIL * share) + vivid * VEIL * share).round().astype(np.uint8)


def _colours(shares: np.ndarray, scale: list[tuple[float, str]]) -> np.ndarray:
    """Shares in [0, 1], of any shape, as uint8 [..., 3]."""
    places = [place for place, _ in scale]
    stops = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in scale], np.float64)
    channels = [np.interp(shares, places, stops[:, i]) for i in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)
