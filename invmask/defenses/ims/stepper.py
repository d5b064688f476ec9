"""Invertible masking using selection, round by round (Dunnett et al. 2025, arXiv 2509.15497).

A round solves the inner problem for perturbations d (`perturbation.solve_inner`) and takes one AdamW step on
mask and selection. Three phases: initialise (no inner problem), minimise (no sparsity term), sparsify.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from invmask.augmentation import augment
from invmask.defenses.base import Examples, Record, Subject, Synthesis, pack_fields
from invmask.defenses.ims import race
from invmask.defenses.ims.config import ON_TRANSFORMERS, PRESETS, IMSConfig, Phase
from invmask.defenses.ims.outer import TurnedUp, kept, on_clean, on_perturbed, weighted
from invmask.defenses.ims.perturbation import Gates, amplified_answers, solve_inner
from invmask.defenses.ims.state import IMSState, unpack
from invmask.defenses.ims.words import AXES, CAPABILITIES, DETAILS, PRESET_WORDS, STAGES, TERMS, found, now
from invmask.defenses.registry import register
from invmask.machine import autocast
from invmask.masks.attach import gated_logits
from invmask.masks.repair import Gates as GatedRepair
from invmask.masks.state import GATED, Masks, Sparsity, View

EXAMPLES = 8
_ORDER = (Phase.INITIALISE, Phase.MINIMISE, Phase.SPARSIFY)


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
)
class IMS:
    """The defence as a stepper; see `defenses.base.Defense`."""

    def __init__(self, config: IMSConfig) -> None:
        self.config = config

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
        return self._enter(start.begin(Phase.INITIALISE))

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
            one_for_all=self.config.shared_cycles > 0,
        )

    def pack(self, state: IMSState) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return pack_fields(state)

    def unpack(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> IMSState:
        return unpack(tensors, numbers)

    def step(self, subject: Subject, state: IMSState) -> tuple[IMSState, Record]:
        """One round: the inner problem where the phase has one, then one step on all masks and selections."""
        config = self.config
        chosen, images, reference, generator = self._batch(subject, state)
        masks = self.masks(state)
        gates = Gates(masks.gate(View.PRUNED), masks.gate(View.INVERSE))
        perturbation, inner = None, None
        led_to = state.label if state.held else None
        if self._racing(state):
            stepped, losses, value = self._race(subject, state, images, reference)
        else:
            if state.phase is not Phase.INITIALISE:
                perturbation = solve_inner(subject, gates, images, reference, config, led_to)
            stepped, losses, value, inner = self._outer(subject, state, images, reference, perturbation)
        progress = value < config.progress_ratio * state.best_total
        stepped = replace(
            stepped,
            round=state.round + 1,
            round_in_phase=state.round_in_phase + 1,
            generator=generator,
            best_total=value if progress else state.best_total,
            # What leads in a race is not one course of losses, and a phase does not end before it is decided.
            rounds_without_progress=0 if progress or stepped.race_labels.numel() else state.rounds_without_progress + 1,
        )
        raced = stepped
        if raced.race_labels.numel() and raced.round_in_phase >= config.label_rounds:
            stepped = self._race_decided(raced, len(subject.images))
        if perturbation is not None:
            shown = chosen[:EXAMPLES]
            if config.crop_padding and not config.shared_cycles:
                # The batch was shifted and mirrored; people see the perturbations of the images themselves.
                plain, answers = subject.images[shown], state.reference[shown]
                examples = solve_inner(subject, gates, plain, answers, config, led_to)
            else:
                examples = perturbation[:EXAMPLES]
            stepped = self._with_examples(subject, stepped, shown, examples)
        ended = self._phase_end(stepped)
        sparsity = Sparsity.of(self.masks(stepped))
        record = Record(
            round=stepped.round,
            stage=state.phase,
            round_in_stage=stepped.round_in_phase,
            terms={name: float(loss) for name, loss in losses.items()},
            total=value,
            counts=sparsity.as_counts(),
            notes={
                "rounds without progress": stepped.rounds_without_progress,
                "effort": stepped.effort,
                "label": raced.label,
                "racing": len(raced.race_labels),
                "lead": race.lead(raced) if raced.race_labels.numel() else None,
                "held": stepped.held,
            },
            synthesis=inner,
            stage_ended=ended,
        )
        return self._enter(stepped), record

    def _outer(
        self, subject: Subject, state: IMSState, images: Tensor, reference: Tensor, perturbation: Tensor | None
    ) -> tuple[IMSState, dict[str, Tensor], float, Synthesis | None]:
        """The outer problem's step on mask and selection: what it makes of `state`, its losses and their sum."""
        config = self.config
        mask = state.mask.clone().requires_grad_()
        selection = state.selection.clone().requires_grad_()
        masks = Masks(mask, selection, config.steepness)
        gates = Gates(masks.gate(View.PRUNED), masks.gate(View.INVERSE))
        weights = self._weights(state)
        turned_up = None
        if state.label is not None and (state.phase is Phase.INITIALISE or (state.held and config.weight_held > 0)):
            turned_up = TurnedUp(state.label, config.held_amplification if state.held else config.amplification)
        parts = [on_clean(subject, gates, images, reference, weights, turned_up)]
        inner = None
        if perturbation is not None:
            part, inner = on_perturbed(subject, gates, images, reference, perturbation, weights)
            parts.append(part)
        losses = {name: loss for part in parts for name, loss in part.losses.items()}
        unselected = 1 - selection
        # Equal to 1 - s everywhere; only its slope at s = 1 is the setting's.
        own = {"sparsity": torch.where(unselected > 0, unselected, config.slope_at_one * unselected).mean()}
        if config.pressure > 0:
            own["pressure"] = gates.pruned.mean()
        losses |= {name: loss.detach() for name, loss in own.items()}
        gradients = torch.autograd.grad(
            [weighted(own, weights), gates.pruned, gates.inverse],
            [mask, selection],
            [None, *(torch.stack(of).sum(0) for of in ([p.pruned for p in parts], [p.inverse for p in parts]))],
        )
        stepped = self._optimize(state, (mask, selection), gradients)
        if config.keep_clean > 0:
            stepped = self._measure_effort(subject, stepped, kept(parts[0].answers[0], reference))
        return stepped, losses, float(weighted(losses, weights)), inner

    def _racing(self, state: IMSState) -> bool:
        config = self.config
        # A race to the phase's last round would leave none to begin again without.
        looked_for = 0 < config.label_rounds < config.rounds_initialise and config.amplification > 0
        return looked_for and state.phase is Phase.INITIALISE and not state.race_over

    def _race(
        self, subject: Subject, state: IMSState, images: Tensor, reference: Tensor
    ) -> tuple[IMSState, dict[str, Tensor], float]:
        """One round of every label that is still in the race; the losses are those of the label ahead after it."""
        if not state.race_labels.numel():
            state = race.start(state, subject.num_classes)
        some = race.spread(reference.argmax(1), race.IMAGES)
        outcomes = [
            self._outer(subject, race.runner(state, place), images[some], reference[some], None)
            for place in range(len(state.race_labels))
        ]
        of_label = {outcome[0].label: outcome for outcome in outcomes}
        runners, _, totals, _ = zip(*outcomes, strict=True)
        stepped = race.advanced(state, runners, totals, self.config.label_rounds)
        _, losses, value, _ = of_label[stepped.label]
        return stepped, losses, value

    def _race_decided(self, state: IMSState, images: int) -> IMSState:
        """On with the label ahead if it leads by enough; else from the phase's start for the rounds that are left.

        Args:
            images: how many the budget has.
        """
        lead = race.lead(state)
        enough = lead >= self.config.label_lead
        held = enough and 0 < self.config.hold_lead <= lead and images >= self.config.hold_images
        state = replace(state.without_race(), race_over=True, held=held)
        if enough:
            return replace(state, best_total=float("inf"), rounds_without_progress=0)
        ones = torch.ones_like(state.mask)
        fresh = replace(state, mask=ones * self.config.start_mask, selection=ones, label=None)
        return replace(fresh.begin(Phase.INITIALISE), round_in_phase=state.round_in_phase)

    def _weights(self, state: IMSState) -> dict[str, float]:
        """Weights of the outer terms in a round; 1 for those not named."""
        config, first = self.config, state.phase is Phase.INITIALISE
        return {
            "sparsity": 0.0 if state.phase is Phase.MINIMISE else config.sparsity_weight,
            "pressure": config.pressure * (state.effort if first else 1),
            "pruned clean": config.weight_pruned_clean,
            "pruned perturbed": config.weight_pruned_perturbed * (1 if first else state.effort),
            "inverse clean": 1 if first else config.weight_inverse_clean,
            "inverse perturbed": config.weight_inverse_perturbed,
            "turned up": config.weight_turned_up if first else config.weight_held,
        }

    def _measure_effort(self, subject: Subject, state: IMSState, share: float) -> IMSState:
        """How hard the next round presses, after one that kept `share` of the clean answers."""
        config = self.config
        factor = config.effort_growth if share > config.keep_clean else 1 / config.effort_growth
        state = replace(state, effort=min(config.most_effort, max(1.0, state.effort * factor)))
        if state.phase is not Phase.INITIALISE or config.amplification == 0 or state.label is not None:
            return state
        gates = self.masks(state).gate(View.PRUNED)
        labels = amplified_answers(subject, gates, subject.images, config.amplification).argmax(1)
        most = int(torch.bincount(labels, minlength=subject.num_classes).max())
        return replace(state, one_label=most / len(labels))

    def _batch(self, subject: Subject, state: IMSState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This round's places in the budget (all where they fit), the images there and the reference's answers.

        Last comes the generator's state after the draws.
        """
        count, generator = len(subject.images), torch.Generator()
        generator.set_state(state.generator)
        chosen = torch.arange(count)
        if count > self.config.batch_size:
            chosen = torch.randperm(count, generator=generator)[: self.config.batch_size]
        chosen = chosen.to(subject.device)
        images, reference = subject.images[chosen], state.reference[chosen]
        if self.config.crop_padding:
            images = augment(images, generator, self.config.crop_padding, flip=subject.mirrors)
            reference = subject.answers(subject.reference, images)
        return chosen, images, reference, generator.get_state()

    def _optimize(self, state: IMSState, vectors: tuple[Tensor, Tensor], gradients: tuple[Tensor, ...]) -> IMSState:
        """One AdamW step (PyTorch's defaults) on both vectors, then both clamped to [0, 1]."""
        optimizer = torch.optim.AdamW(vectors, lr=self.config.outer_learning_rate)
        moments = ((state.mask_mean, state.mask_square), (state.selection_mean, state.selection_square))
        for vector, gradient, (mean, square) in zip(vectors, gradients, moments, strict=True):
            vector.grad = gradient
            optimizer.state[vector] = {
                "step": torch.tensor(float(state.optimizer_steps)),
                "exp_avg": mean.clone(),
                "exp_avg_sq": square.clone(),
            }
        optimizer.step()
        mask, selection = (vector.detach().clamp(0, 1) for vector in vectors)
        of_mask, of_selection = (optimizer.state[vector] for vector in vectors)
        return replace(
            state,
            mask=mask,
            selection=selection,
            mask_mean=of_mask["exp_avg"],
            mask_square=of_mask["exp_avg_sq"],
            selection_mean=of_selection["exp_avg"],
            selection_square=of_selection["exp_avg_sq"],
            optimizer_steps=state.optimizer_steps + 1,
        )

    def _phase_end(self, state: IMSState) -> str | None:
        """Why the phase ends here, or None."""
        if state.round_in_phase >= self.config.rounds(state.phase):
            return f"reached its {self.config.rounds(state.phase)} rounds"
        if state.rounds_without_progress > self.config.patience:
            return f"no progress in {state.rounds_without_progress} rounds"
        if state.phase is Phase.INITIALISE and self.config.keep_clean > 0 and state.one_label >= self.config.one_label:
            return f"the channels cut, turned up, lead {state.one_label:.0%} of the clean images to one label"
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
