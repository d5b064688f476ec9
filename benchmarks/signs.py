"""Pictures of 43 made-up road signs, for trials with many classes: python -m benchmarks.signs.

Drawn, and no photographs: a plate with a symbol in front of a CIFAR-10 image, seen from one side or the other, near or
far, in light or shade, sharp or blurred. They stand in for GTSRB, which has as many classes and has to be fetched from
its home page. They go to the folder `signs43` in the data folder; the data set is called `folder:signs43@32`.
"""

import shutil
from itertools import product

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont
from tqdm import tqdm

from invmask import settings
from invmask.data.registry import load_dataset

NAME, SIDE, DRAWN = "signs43", 32, 128
DATASET = f"folder:{NAME}@{SIDE}"
# Of each class, and the seed of the drawing.
PARTS = {"train": (300, 5), "val": (50, 3)}
RED, WHITE, BLUE, YELLOW, BLACK = (190, 25, 30), (240, 240, 236), (20, 80, 160), (245, 195, 40), (20, 20, 20)
# Training mirrors images at random: no sign may be another one's mirror image.
# Shape, rim, face, colour of the symbol; and the symbols on such a plate.
PLATES = (
    (("circle", RED, WHITE, BLACK), ("20", "30", "50", "60", "70", "80", "100", "120", "X", "!")),
    (("triangle", RED, WHITE, BLACK), ("!", "A", "B", "C", "K", "M", "T", "W", "Z", "?")),
    (("circle", WHITE, BLUE, WHITE), ("E", ">", "^", "V", "+", "=", "#", "H", "P", "&")),
    (("diamond", WHITE, YELLOW, BLACK), tuple("0123456789")),
    (("octagon", WHITE, RED, WHITE), ("STOP",)),
    (("circle", WHITE, RED, WHITE), ("-",)),
    (("diamond", WHITE, YELLOW, BLACK), ("",)),
)
Colour = tuple[int, int, int]
CORNERS = {"triangle": (3, 0.0), "diamond": (4, 45.0), "octagon": (8, 22.5)}


def plate(shape: str, rim: Colour, face: Colour, ink: Colour, symbol: str) -> Image.Image:
    """One sign from the front, RGBA, transparent around it."""
    image = Image.new("RGBA", (DRAWN, DRAWN))
    draw, middle = ImageDraw.Draw(image), DRAWN / 2
    for colour, radius in ((rim, 0.48 * DRAWN), (face, 0.37 * DRAWN)):
        if shape == "circle":
            draw.ellipse((middle - radius, middle - radius, middle + radius, middle + radius), fill=colour)
        else:
            corners, rotation = CORNERS[shape]
            draw.regular_polygon((middle, middle, radius), corners, rotation=rotation, fill=colour)
    size = DRAWN * (0.5 if len(symbol) < 2 else 0.8 / len(symbol))
    draw.text((middle, middle), symbol, fill=ink, font=ImageFont.load_default(size), anchor="mm", stroke_width=2)
    return image


def seen(sign: Image.Image, behind: Image.Image, random: Generator) -> Image.Image:
    """A picture of `sign` in front of `behind`, SIDE x SIDE."""
    sign = sign.rotate(random.uniform(-12, 12), Image.Resampling.BILINEAR)
    # Each corner of what is seen lies somewhere else on the sign: farther out makes it smaller there.
    corners = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])
    margin = random.uniform(0.02, 0.3) * np.where(corners == 0, -1, 1)
    quad = (corners + margin + random.uniform(-0.08, 0.08, (4, 2))) * DRAWN
    sign = sign.transform((DRAWN, DRAWN), Image.Transform.QUAD, quad.ravel().tolist(), Image.Resampling.BILINEAR)
    picture = behind.resize((DRAWN, DRAWN), Image.Resampling.BICUBIC)
    picture.paste(sign, mask=sign)
    picture = ImageEnhance.Brightness(picture).enhance(random.uniform(0.35, 1.25))
    picture = ImageEnhance.Contrast(picture).enhance(random.uniform(0.6, 1.2))
    picture = picture.filter(ImageFilter.GaussianBlur(random.uniform(0, 5)))
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def draw() -> None:
    """Draw them all, unless they are there."""
    folder = settings.data_folder() / NAME
    if folder.is_dir():
        return
    signs = [plate(*look, symbol) for look, symbols in PLATES for symbol in symbols]
    unfinished = folder.with_name(f"{NAME}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part, (count, seed) in PARTS.items():
        random = np.random.default_rng(seed)
        behind = load_dataset("cifar10", settings.data_folder(), part == "train").pixels
        cases = list(product(range(len(signs)), range(count)))
        for (label, place), index in zip(tqdm(cases, part), random.permutation(len(behind)).tolist(), strict=False):
            background = Image.fromarray(behind[index])
            file = unfinished / part / f"{label:02}" / f"{place:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            seen(signs[label], background, random).save(file)
    unfinished.rename(folder)


if __name__ == "__main__":
    draw()
