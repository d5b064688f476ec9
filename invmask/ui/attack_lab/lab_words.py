"""The words in the address for triggers: on Attack lab, the specification of a small victim; on Flip, the pen."""

OF_A_DRAWING = ("pixels", "left", "top", "opacity")
OF_THE_TRIGGER = (*OF_A_DRAWING, "picture", "size", "x", "y")
LAB_WORDS = ("data", "trigger", *OF_THE_TRIGGER, "target", "ratio", "images", "width", "epochs", "seed")
PEN_WORDS = ("pen", "trigger", "sample", *OF_A_DRAWING)
