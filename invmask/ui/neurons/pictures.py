"""The pictures of one channel's page, computed once for all sessions, for a few images at a time."""

from invmask.figures.channel_history import ChannelHistory
from invmask.frames import one_channel
from invmask.frames.one_channel import Attributed, Conducted, Excited, MapRow
from invmask.ui.neurons import channel_data
from invmask.ui.shell import cache, shared_results


@shared_results.copied(spinner="Asking the channel")
def test_rows(run_id: str, round_taken: int, stamp: int, channel: int, draw: int) -> list[MapRow]:  # noqa: ARG001
    """A few test images: clean, triggered, and with the round's synthesized trigger, as far as these exist."""
    run = cache.store().run(run_id)
    found = cache.victim(run.spec().victim)
    images = one_channel.drawn(found, cache.test_images(found.card.dataset), draw)
    return one_channel.test_rows(found, images, channel, one_channel.shared_trigger(run, round_taken))


@shared_results.copied()
def synthesized_rows(run_id: str, round_taken: int, stamp: int, channel: int) -> list[MapRow]:  # noqa: ARG001
    """A few images of the budget, clean and with their own synthesized triggers; empty if they have none."""
    run = cache.store().run(run_id)
    return one_channel.synthesized_rows(run, round_taken, cache.victim(run.spec().victim), channel)


@shared_results.copied()
def excited(victim: str, stamp: int, channel: int, per_class: int) -> Excited:  # noqa: ARG001
    """The probe's clean and triggered images with the highest mean activation of the channel."""
    _, probe = channel_data.probe_images(victim, per_class)
    return one_channel.excited(cache.victim(victim), probe, channel)


@shared_results.copied(spinner="Attributing")
def attributed(run_id: str, round_taken: int, stamp: int, draw: int) -> Attributed:  # noqa: ARG001
    """Attributions for one drawn image, triggered if possible, under the three views of the run's masks."""
    run = cache.store().run(run_id)
    victim = cache.victim(run.spec().victim)
    images = one_channel.drawn(victim, cache.test_images(victim.card.dataset), draw)
    return one_channel.attributed(victim, run.masks_at(round_taken), images)


@shared_results.copied()
def conducted(victim: str, stamp: int, channel: int, draw: int) -> Conducted:  # noqa: ARG001
    """The channel's conductance toward the target label, for the same image."""
    found = cache.victim(victim)
    return one_channel.conducted(found, one_channel.drawn(found, cache.test_images(found.card.dataset), draw), channel)


@shared_results.copied()
def history(run_id: str, rounds: int, channel: int) -> ChannelHistory:
    """One channel's mask, selection and gates after each round from 0 to `rounds`."""
    return one_channel.history(cache.store().run(run_id), rounds, channel)
