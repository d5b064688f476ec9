"""Invertible masking using selection, round by round (Dunnett et al. 2025, arXiv 2509.15497).

A round solves the inner problem for perturbations d (`perturbation.solve_inner`) and takes one AdamW step on
mask and selection. Three phases: initialise (no inner problem), minimise (no sparsity term), sparsify. Ours: a search
in front of them, whose triggers take the place of d (`search`).
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invmask.augmentation import augment, mixed
from invmask.defenses.base import Candidates, Examples, Record, Subject, Synthesis
from invmask.defenses.ims import search
from invmask.defenses.ims.adamw import adamw_step
from invmask.defenses.ims.config import ON_TRANSFORMERS, PRESETS, IMSConfig, Phase
from invmask.defenses.ims.losses import agree, divergence
from invmask.defenses.ims.outer import on_clean, on_perturbed, weighted
from invmask.defenses.ims.perturbation import Gates, solve_inner
from invmask.defenses.ims.state import IMSState, pack, unpack
from invmask.defenses.ims.texts import AXES, CAPABILITIES, DETAILS, PRESET_WORDS, STAGES, TERMS, found, now, verdict
from invmask.defenses.inversion import candidates
from invmask.defenses.registry import register
from invmask.machine import autocast
from invmask.masks.attach import gated_logits
from invmask.masks.repair import Gates as GatedRepair
from invmask.masks.state import GATED, Masks, Sparsity, View

EXAMPLES = 8
LAST_RATE = 0.1
"""The share of the outer learning rate that the steps of the last phase fall towards, in a run that had a search."""
UNSEEN = 0.04
"""The share of its weight that the inverse view's clean term has where only channels tell the backdoor's label.

No trigger on images holds the inverse view to such a backdoor: the harder it is pressed, the more of it is lost.
"""
_ORDER = tuple(Phase)


@register(
    name="ims",
    title="IMS",
    family="pruning",
    paper="K. Dunnett et al., Backdoor Mitigation via Invertible Pruning Masks, NeurIPS 2025, arXiv 2509.15497",
    explanation="Learns for every channel whether it is cut, such that the inverse mask keeps the backdoor alone.",
    details=DETAILS,
    config=IMSConfig,
    presets=PRESETS,
    preset_words=PRESET_WORDS,
    stages=STAGES,
    terms=TERMS,
    capabilities=CAPABILITIES,
    on_transformers=ON_TRANSFORMERS,
    # In bfloat16 its iterates, and so its masks, are others than the published ones.
    exact=frozenset({"paper"}),
    axes=AXES,
    now=now,
    found=found,
    verdict=verdict,
)
class IMS:
    """The defence as a stepper; see `defenses.base.Defense`."""

    def __init__(self, config: IMSConfig) -> None:
        self.config = config

    @property
    def _changes_images(self) -> bool:
        """Whether a round learns from other images than the budget's own."""
        return self.config.crop_padding > 0 or self.config.mixing > 0

    def init(self, subject: Subject) -> IMSState:
        """Nothing selected, so that all views answer alike, and the reference's answers to the clean budget."""
        ones = torch.ones(subject.layout.channels, dtype=subject.images.dtype, device=subject.device)
        empty = torch.empty(0, dtype=subject.images.dtype, device=subject.device)
        start = IMSState(
            mask=ones * self.config.start_mask,
            selection=ones,
            mask_mean=ones,
            mask_square=ones,
            selection_mean=ones,
            selection_square=ones,
            reference=subject.answers(subject.reference, subject.images),
            generator=torch.Generator().manual_seed(self.config.seed).get_state(),
            example_indices=empty.long(),
            example_perturbations=empty,
            example_probabilities=empty,
        )
        return self._enter(start.begin(Phase.SEARCH))

    def done(self, state: IMSState) -> str | None:
        """The sentence that the last phase ended with; None while there is more to do."""
        return state.ended

    def stage(self, state: IMSState) -> str:
        return state.phase

    def masks(self, state: IMSState) -> Masks:
        """The masks as they stand."""
        return Masks(state.mask, state.selection, self.config.steepness)

    def repair(self, state: IMSState) -> GatedRepair:
        return GatedRepair(self.masks(state))

    def examples(self, state: IMSState) -> Examples | None:
        # A phase without an inner problem keeps those of the one before in its state.
        if not len(state.example_indices):
            return None
        return Examples(
            state.example_indices,
            state.example_perturbations,
            state.example_probabilities,
        )

    def candidates(self, subject: Subject, state: IMSState) -> Candidates | None:
        """See `defenses.base.Searching`."""
        family, searches = state.search.family, state.phase is Phase.SEARCH
        # The search comes first: later rounds are more than it took.
        if family is None or state.round > search.rounds_taken(state.search, self.config):
            return None
        # At the end, what tells most: a picture of the trigger where there is one, for channels say little to people.
        clear = None if searches else search.standing_out(state.search, self.config)
        if clear is not None:
            family = state.hypotheses[0].family if search.seen(state.hypotheses, self.config) else clear[0]
        return candidates(state.search.inversions[family], family, subject.shape, self.config.clear_lead)

    def pack(self, state: IMSState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return pack(state)

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> IMSState:
        return unpack(tensors, numbers)

    def step(self, subject: Subject, state: IMSState) -> tuple[IMSState, Record]:
        """One round: of the search, or the inner problem where the phase has one, then one step on the masks."""
        generator = torch.Generator()
        generator.set_state(state.generator)
        if state.phase is Phase.SEARCH:
            return self._search(subject, state, generator)
        chosen, images, reference = self._batch(subject, state, generator)
        masks = self.masks(state)
        gates = Gates(masks.gate(View.PRUNED), masks.gate(View.INVERSE))
        perturbed = None
        if state.phase is not Phase.INITIALISE:
            if state.hypotheses:
                led = search.pruned(subject, gates.pruned)
                mended = search.kept_up(
                    subject, state.hypotheses, led, state.reference.argmax(1), generator, self.config
                )
                state = replace(state, hypotheses=mended)
                perturbed = search.triggered(mended, images)
            else:
                perturbed = images + solve_inner(subject, gates, images, reference, self.config)
        stepped, losses, value, inner = self._outer(subject, state, images, reference, perturbed)
        progress = value < self.config.progress_ratio * state.best_total
        stepped = replace(
            stepped,
            round=state.round + 1,
            round_in_phase=state.round_in_phase + 1,
            generator=generator.get_state(),
            best_total=value if progress else state.best_total,
            rounds_without_progress=0 if progress else state.rounds_without_progress + 1,
        )
        if perturbed is not None:
            shown = chosen[:EXAMPLES]
            plain = subject.images[shown]
            seen = perturbed[: len(shown)]
            if state.hypotheses:
                seen = search.triggered(state.hypotheses, plain)
            elif self._changes_images:
                # The batch is not of the images themselves; people see the perturbations of the images themselves.
                seen = plain + solve_inner(subject, gates, plain, state.reference[shown], self.config)
            stepped = self._with_examples(subject, stepped, shown, seen - plain)
        return self._told(state, stepped, losses, value, inner)

    def _search(self, subject: Subject, state: IMSState, generator: torch.Generator) -> tuple[IMSState, Record]:
        """One round of the search; at its end, what the masks shall withstand."""
        found = search.searched(subject, state.search, state.reference.argmax(1), generator, self.config)
        family = found.family
        assert family is not None
        ahead = found.inversions[family].order()[0]
        loss = found.inversions[family].loss[ahead]
        stepped = replace(
            state,
            search=found,
            round=state.round + 1,
            round_in_phase=state.round_in_phase + 1,
            generator=generator.get_state(),
        )
        if self._phase_end(stepped) is not None:
            answers, made = state.reference.argmax(1), search.hypotheses(found, self.config)
            made = search.sharpened(subject, found, made, answers, generator, self.config)
            stepped = replace(stepped, hypotheses=made, generator=generator.get_state())
        return self._told(state, stepped, {"led": loss}, float(loss), None)

    def _told(
        self, state: IMSState, stepped: IMSState, losses: dict[str, Tensor], value: float, inner: Synthesis | None
    ) -> tuple[IMSState, Record]:
        """The record of the round from `state` to `stepped`, and the state that goes on from there."""
        ended = self._phase_end(stepped)
        record = Record(
            round=stepped.round,
            stage=state.phase,
            round_in_stage=stepped.round_in_phase,
            terms={name: float(loss) for name, loss in losses.items()},
            total=value,
            counts=Sparsity.of(self.masks(stepped)).as_counts(),
            notes={"rounds without progress": stepped.rounds_without_progress, **self._suspicion(stepped)},
            synthesis=inner,
            stage_ended=ended,
        )
        return self._enter(stepped), record

    def _suspicion(self, state: IMSState) -> dict[str, Any]:
        """What the search says so far: the label ahead, by how much, in which family, and whether it stands out."""
        clearest = state.search.clearest()
        if clearest is None:
            return {}
        family, lead = clearest
        clear = search.standing_out(state.search, self.config) is not None
        leads = state.search.leads()
        return {
            "label": state.search.label(family),
            "lead": lead,
            "family": family,
            "stands out": clear,
            "leads": leads,
        }

    def _outer(
        self, subject: Subject, state: IMSState, images: Tensor, reference: Tensor, perturbed: Tensor | None
    ) -> tuple[IMSState, dict[str, Tensor], float, Synthesis | None]:
        """The outer problem's step on mask and selection: what it makes of `state`, its losses and their sum."""
        config = self.config
        mask = state.mask.clone().requires_grad_()
        selection = state.selection.clone().requires_grad_()
        masks = Masks(mask, selection, config.steepness)
        gates = Gates(masks.gate(View.PRUNED), masks.gate(View.INVERSE))
        weights = self._weights(state)
        alike = divergence if state.hypotheses else agree
        led_to = search.cut_label(state.search, self.config) if state.hypotheses else None
        parts = [on_clean(subject, gates, images, reference, weights, alike, led_to)]
        inner = None
        if perturbed is not None:
            part, inner = on_perturbed(subject, gates, images, reference, perturbed, weights, alike)
            parts.append(part)
        losses = {name: loss for part in parts for name, loss in part.losses.items()}
        unselected = 1 - selection
        # Equal to 1 - s everywhere; only its slope at s = 1 is the setting's.
        own = {"sparsity": torch.where(unselected > 0, unselected, config.slope_at_one * unselected).mean()}
        losses |= {name: loss.detach() for name, loss in own.items()}
        # As sums, because gradient arguments make torch import sympy, which takes a while in a new process.
        by_pruned, by_inverse = (
            torch.stack(of).sum(0) for of in zip(*((p.pruned, p.inverse) for p in parts), strict=True)
        )
        of_gates = (gates.pruned * by_pruned).sum() + (gates.inverse * by_inverse).sum()
        gradients = torch.autograd.grad(weighted(own, weights) + of_gates, [mask, selection])
        stepped = self._optimize(state, (mask, selection), gradients)
        return stepped, losses, float(weighted(losses, weights)), inner

    def _weights(self, state: IMSState) -> dict[str, float]:
        """Weights of the outer terms in a round; 1 for those not named."""
        config, first = self.config, state.phase is Phase.INITIALISE
        trust = search.trust(state.search) if state.hypotheses else 1.0
        unseen = search.cut_label(state.search, config) is not None and not search.seen(state.hypotheses, config)
        return {
            "sparsity": 0.0 if state.phase is Phase.MINIMISE else config.sparsity_weight,
            "pruned clean": config.weight_pruned_clean,
            "pruned perturbed": config.weight_pruned_perturbed * trust,
            "inverse clean": 1 if first else config.weight_inverse_clean * (UNSEEN if unseen else 1),
            "inverse perturbed": config.weight_inverse_perturbed,
            "inverse agrees perturbed": config.weight_inverse_follows,
        }

    def _batch(self, subject: Subject, state: IMSState, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """This round's places in the budget (all where they fit), the images there and the reference's answers."""
        count = len(subject.images)
        chosen = torch.arange(count)
        if count > self.config.batch_size:
            chosen = torch.randperm(count, generator=generator)[: self.config.batch_size]
        chosen = chosen.to(subject.device)
        images, reference = subject.images[chosen], state.reference[chosen]
        if self.config.crop_padding:
            images = augment(images, generator, self.config.crop_padding, flip=subject.mirrors)
        if self.config.mixing:
            images = mixed(images, generator, self.config.mixing)
        if self._changes_images:
            reference = subject.answers(subject.reference, images)
        return chosen, images, reference

    def _optimize(self, state: IMSState, vectors: tuple[Tensor, Tensor], gradients: tuple[Tensor, ...]) -> IMSState:
        """One AdamW step (PyTorch's defaults) on both vectors, then both clamped to [0, 1]."""
        of_mask, of_selection = (
            (state.mask_mean.clone(), state.mask_square.clone()),
            (state.selection_mean.clone(), state.selection_square.clone()),
        )
        moved = [vector.detach().clone() for vector in vectors]
        rate = self._learning_rate(state)
        adamw_step(moved, list(gradients), [of_mask, of_selection], state.optimizer_steps, rate)
        mask, selection = (vector.clamp(0, 1) for vector in moved)
        return replace(
            state,
            mask=mask,
            selection=selection,
            mask_mean=of_mask[0],
            mask_square=of_mask[1],
            selection_mean=of_selection[0],
            selection_square=of_selection[1],
            optimizer_steps=state.optimizer_steps + 1,
        )

    def _learning_rate(self, state: IMSState) -> float:
        """The outer one. After a search it falls evenly in the last phase: its steps are few, and the last count."""
        rate, rounds = self.config.outer_learning_rate, self.config.rounds_sparsify
        if not state.hypotheses or state.phase is not Phase.SPARSIFY:
            return rate
        return rate * (1 - (1 - LAST_RATE) * state.round_in_phase / rounds)

    def _phase_end(self, state: IMSState) -> str | None:
        """Why the phase ends here, or None."""
        if state.phase is Phase.SEARCH and search.is_over(state.search, self.config):
            clear = search.standing_out(state.search, self.config)
            return "no label stands out" if clear is None else f"label {clear[1]} stands out by {clear[2]:.2f} nats"
        if state.round_in_phase >= self.config.rounds(state.phase):
            return f"reached its {self.config.rounds(state.phase)} rounds"
        if state.rounds_without_progress > self.config.patience:
            return f"no progress in {state.rounds_without_progress} rounds"
        return None

    def _enter(self, state: IMSState) -> IMSState:
        """Go on to the next phase, past phases of no rounds, if this one is over; end after the last."""
        while state.ended is None and (reason := self._phase_end(state)) is not None:
            place = _ORDER.index(state.phase)
            if place + 1 < len(_ORDER):
                state = state.begin(_ORDER[place + 1])
            else:
                state = replace(state, ended=f"The last phase, {state.phase}, {reason}.")
        return state

    def _with_examples(self, subject: Subject, state: IMSState, indices: Tensor, perturbations: Tensor) -> IMSState:
        masks, perturbed = self.masks(state), subject.images[indices] + perturbations
        with torch.no_grad(), autocast(subject.precision, subject.device.type):
            answers = gated_logits(subject.model, subject.layout, [(perturbed, masks.gate(view)) for view in GATED])
        return replace(
            state,
            example_indices=indices,
            example_perturbations=perturbations,
            example_probabilities=torch.stack([logits.softmax(1) for logits in answers]),
        )
