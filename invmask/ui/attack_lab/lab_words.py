"""The words in the address of the page Attack lab: together they are the specification of a small victim."""

OF_THE_TRIGGER = ("pixels", "left", "top", "opacity", "picture", "size", "x", "y")
LAB_WORDS = ("data", "trigger", *OF_THE_TRIGGER, "target", "ratio", "images", "width", "epochs", "seed")
