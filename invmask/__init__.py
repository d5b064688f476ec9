"""invmask: learn, watch and flip invertible pruning masks on image classifiers that may carry a backdoor.

The method is "Backdoor Mitigation via Invertible Pruning Masks" (Dunnett et al., NeurIPS 2025,
arXiv 2509.15497), called IMS throughout.
"""

__version__ = "0.1.0"
