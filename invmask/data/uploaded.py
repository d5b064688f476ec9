"""Pictures that users upload: limited in size, decoded by Pillow, and reduced to what the networks here see."""

import base64
import io

import numpy as np
from PIL import Image, ImageOps

from invmask.errors import UserError

MOST_BYTES = 5 << 20
MOST_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP")
ENDINGS = ("png", "jpg", "jpeg", "webp")
TRIGGER_SIDE = 24
"""Side in pixels to which a picture for a trigger is reduced; the images are hardly larger."""
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def read_picture(content: bytes) -> Image.Image:
    """Decode an uploaded picture, upright, with an alpha channel (mode RGBA).

    Raises:
        UserError: it is too large, or no picture of a known format.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"A picture may have at most {MOST_BYTES >> 20} MB; make it smaller.")
    try:
        with Image.open(io.BytesIO(content), formats=list(FORMATS)) as picture:
            # The size is known before anything is decoded.
            if picture.width * picture.height > MOST_PIXELS:
                raise UserError(f"A picture may have at most {MOST_PIXELS // 1_000_000} million pixels.")
            return ImageOps.exif_transpose(picture).convert("RGBA")
    except (OSError, ValueError, SyntaxError, *_BOMBS) as error:
        raise UserError("This file is not a PNG, JPEG or WebP picture that can be read; try another.") from error


def as_image(picture: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """The picture's middle square as an image of a data set.

    Args:
        picture: transparent pixels become black.
        shape: C, H, W of the data set's images.

    Returns:
        uint8 [H, W, C].
    """
    channels, height, width = shape
    ground = Image.new("RGBA", picture.size, (0, 0, 0, 255))
    ground.alpha_composite(picture)
    fitted = ImageOps.fit(ground.convert("RGB"), (width, height), Image.Resampling.BOX)
    if channels == 1:
        return np.asarray(fitted.convert("L"))[..., None].copy()
    return np.asarray(fitted).copy()


def as_trigger(picture: Image.Image) -> str:
    """The picture, reduced to at most 24×24 pixels, as the setting `png` of the attack `picture`: PNG in base64."""
    small = picture.copy()
    small.thumbnail((TRIGGER_SIDE, TRIGGER_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
