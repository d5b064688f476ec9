"""Every attack's trigger on the same few images: one column per attack, with the amplified change under each image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from invmask.figures.palette import NEUTRAL, TEXT, Theme
from invmask.figures.pictures import frame
from invmask.figures.template import finish
from invmask.figures.triggers import TriggerTiles

GAP = 0.06
"""Gap between pictures, as a share of a picture's side; it is three times as large between two images."""
SIDE = 96
"""Side of a picture, in pixels."""


@dataclass(frozen=True)
class SheetColumn:
    """One attack: its title, and its pictures of the images (made by `triggers.trigger_tiles`)."""

    title: str
    tiles: TriggerTiles


def attack_sheet(columns: Sequence[SheetColumn], theme: Theme) -> go.Figure:
    """The clean images in the first column, then one column per attack. Each pixel is drawn as a sharp square."""
    clean = columns[0].tiles.clean
    count, side = len(clean), clean.shape[1]
    step, pair = side * (1 + GAP), side * (2 + 4 * GAP)
    figure = go.Figure()
    frames: list[dict[str, object]] = []

    def place(name: str, pixels: np.ndarray, column: int, top: float) -> None:
        figure.add_trace(
            go.Image(
                name=name, z=pixels.tolist(), x0=column * step + 0.5, y0=top + 0.5, hoverinfo="skip", zsmooth=False
            )
        )
        frames.append(frame(column * step, top, side, theme))

    def write(text: str, column: int, top: float, size: int, below: bool = False) -> None:
        figure.add_annotation(
            text=text,
            x=column * step + side / 2,
            y=top,
            yanchor="top" if below else "bottom",
            yshift=-2 if below else 3,
            showarrow=False,
            font={"size": size, "color": NEUTRAL[theme] if below else TEXT[theme]},
        )

    write("clean", 0, 0, 14)
    for number in range(count):
        place(f"clean ({number + 1})", clean[number], 0, number * pair)
        write("change,<br>amplified", 0, number * pair + step + side * 0.3, 13, below=True)
    for column, attack in enumerate(columns, 1):
        write(attack.title, column, 0, 14)
        for number in range(count):
            place(f"{attack.title} ({number + 1})", attack.tiles.perturbed[number], column, number * pair)
            change = attack.tiles.perturbation[number]
            place(f"{attack.title}, change ({number + 1})", change, column, number * pair + step)
        write(f"×{attack.tiles.factor}", column, count * pair - 2 * GAP * side, 13, below=True)
    width, height = (len(columns) + 1) * step, count * pair
    figure.update_xaxes(range=[0, width], visible=False, constrain="domain", fixedrange=True)
    figure.update_yaxes(range=[height, 0], visible=False, scaleanchor="x", fixedrange=True)
    figure.update_layout(
        margin={"l": 4, "r": 4, "t": 26, "b": 22}, showlegend=False, shapes=frames, width=SIDE * width / side + 8
    )
    return finish(figure, theme, round(SIDE * height / side) + 48)
