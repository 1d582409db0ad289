"""The time of optimizer steps, on a clock that the test advances."""

from types import SimpleNamespace

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn
from torch.utils.data import DataLoader, default_collate

from monai_tunevlseg.training import step_timer
from monai_tunevlseg.training.step_timer import StepTimer


@pytest.mark.parametrize(
    ("accumulation_steps", "seconds"), [(1, [1, 2, 3, 4, 5]), (2, [1 + 2, 3 + 4, 5]), (8, [1 + 2 + 3 + 4 + 5])]
)
def test_a_step_is_its_batches_without_loading_and_validation(accumulation_steps, seconds, monkeypatch):
    """The batches of an epoch take 1 to 5 s, the loading of one 10 s, and the validation 100 s."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(step_timer, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def advance(amount, value=None):
        clock.now += amount
        return value

    network = nn.Linear(1, 1)
    network.register_forward_hook(lambda module, images, output: advance(float(images[0].max())))
    samples = [{"image": torch.tensor([number + 1.0]), "label": torch.tensor([0.0])} for number in range(5)]
    timer = StepTimer()
    trainer = SupervisedTrainer(
        "cpu",
        max_epochs=2,
        train_data_loader=DataLoader(samples, batch_size=1, collate_fn=lambda b: advance(10, default_collate(b))),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=nn.MSELoss(),
        train_handlers=[timer],
        accumulation_steps=accumulation_steps,
    )
    trainer.add_event_handler("EPOCH_COMPLETED", lambda: advance(100))
    assert timer.median() is None
    trainer.run()
    assert timer.seconds == pytest.approx(seconds * 2)
    assert timer.median() == pytest.approx(sorted(seconds)[len(seconds) // 2])
