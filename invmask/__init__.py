"""invmask: learn, watch and flip invertible pruning masks on image classifiers that may carry a backdoor.

The method is "Backdoor Mitigation via Invertible Pruning Masks" (Dunnett et al., NeurIPS 2025,
arXiv 2509.15497), called IMS throughout.
"""

from invmask.waiting import choose_waiting

# Whatever is imported of invmask, this comes before it, and so before torch.
choose_waiting()

__version__ = "0.1.0"
