from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from toys import TERMS, TRAIN, make_panel

from agents.encoding import Encoder
from agents.replay import Replay
from agents.settings import Settings
from engine.arrays import Float32Array
from engine.environment import PortfolioEnv
from engine.observation import FeatureTable, feature_table

N, F = 3, 5


class Transition(NamedTuple):
    row: int
    state: Float32Array
    action: Float32Array
    reward: float
    next_state: Float32Array
    terminated: bool
    risk: float


def real_transitions(n: int) -> tuple[FeatureTable, Encoder, list[Transition]]:
    """Return what an account with random actions goes through in the training window."""
    panel = make_panel()
    table = feature_table(panel, Settings().features, 40, TRAIN.first, TRAIN.last)
    encoder = Encoder.fit(table)
    env = PortfolioEnv(panel, table, TRAIN.first, TRAIN.last, TERMS, step_size=0.1, encode=encoder)
    random = np.random.default_rng(0)
    state, _ = env.reset()
    kept = []
    for _ in range(n):
        row, action = env.row, random.uniform(-1, 1, N).astype(np.float32)
        following, reward, terminated, _, info = env.step(action)
        kept.append(Transition(row, state, action, reward, following, terminated, info["risk_score"]))
        state = following
    return table, encoder, kept


def made_up_table(n_rows: int = 30) -> FeatureTable:
    return FeatureTable(
        Settings().features, 100, np.random.default_rng(3).standard_normal((n_rows, N, F)).cumsum(axis=0)
    )


def made_up(number: int, table: FeatureTable, encoder: Encoder) -> Transition:
    """Return a transition that can be told by its number: reward and cash are the number itself."""
    row = table.first + number % (len(table.values) - 1)
    states = [
        np.concatenate([[cash, 0, 0, 0], encoder.features(table.at(at)).ravel()]).astype(np.float32)
        for cash, at in ((number, row), (number + 0.5, row + 1))
    ]
    action = np.full(N, number, np.float32)
    return Transition(row, states[0], action, float(number), states[1], number % 4 == 0, number / 100)


def filled(capacity: int, count: int) -> tuple[Replay, list[Transition]]:
    table = made_up_table()
    encoder = Encoder.fit(table)
    replay = Replay(capacity, table, encoder)
    transitions = [made_up(k, table, encoder) for k in range(count)]
    for each in transitions:
        replay.add(*each)
    return replay, transitions


def rewards_in(replay: Replay) -> set[float]:
    return set(replay.sample(10, 400, np.random.default_rng(0)).reward.flatten().tolist())


def test_a_sample_rebuilds_exactly_the_transitions_that_were_added() -> None:
    table, encoder, transitions = real_transitions(TRAIN.last - TRAIN.first)
    replay = Replay(100, table, encoder)
    for each in transitions:
        replay.add(*each)
    assert len(replay) == len(transitions)
    by_action = {tuple(each.action.tolist()): each for each in transitions}
    batch = replay.sample(2, 200, np.random.default_rng(1))
    assert [tuple(part.shape) for part in batch] == [
        (2, 200, 1 + N + N * F),
        (2, 200, N),
        (2, 200, 1),
        (2, 200, 1 + N + N * F),
        (2, 200, 1),
        (2, 200, 1),
    ]
    assert all(part.dtype == torch.float32 for part in batch)
    seen = set()
    for agent in range(2):
        for b in range(200):
            each = by_action[tuple(batch.action[agent, b].tolist())]
            seen.add(each.row)
            assert np.array_equal(batch.state[agent, b].numpy(), each.state)
            assert np.array_equal(batch.next_state[agent, b].numpy(), each.next_state)
            assert batch.reward[agent, b, 0].item() == np.float32(each.reward)
            assert batch.risk[agent, b, 0].item() == np.float32(each.risk)
            assert batch.alive[agent, b, 0].item() == 1.0
    assert len(seen) == len(transitions), "400 draws of 29 miss one with a chance of 1 in 40,000"


def test_a_transition_that_ended_the_episode_is_not_alive() -> None:
    replay, _ = filled(100, 8)
    batch = replay.sample(1, 200, np.random.default_rng(0))
    assert torch.equal(batch.alive == 0.0, batch.reward % 4 == 0)


def test_agents_draw_different_transitions() -> None:
    replay, _ = filled(1000, 500)
    batch = replay.sample(10, 16, np.random.default_rng(0))
    assert len({tuple(batch.reward[agent].flatten().tolist()) for agent in range(10)}) == 10


def test_a_full_replay_forgets_the_oldest_transition_first() -> None:
    replay, _ = filled(7, 7)
    assert rewards_in(replay) == set(range(7))
    replay, transitions = filled(7, 17)
    assert len(replay) == 7
    assert rewards_in(replay) == set(range(10, 17))
    batch = replay.sample(1, 50, np.random.default_rng(0))
    for b in range(50):
        each = transitions[int(batch.reward[0, b, 0])]
        assert np.array_equal(batch.state[0, b].numpy(), each.state)
        assert np.array_equal(batch.next_state[0, b].numpy(), each.next_state)


def test_the_latest_states_come_from_the_latest_transitions_alone() -> None:
    for count, capacity in ((50, 100), (50, 20), (40, 20)):
        replay, transitions = filled(capacity, count)
        states = replay.latest_states(6, 300, np.random.default_rng(0))
        assert states.shape == (1, 300, 1 + N + N * F)
        assert set(states[0, :, 0].tolist()) == set(range(count - 6, count))
        for state in states[0, :20]:
            assert np.array_equal(state.numpy(), transitions[int(state[0])].state)


def test_more_latest_states_than_there_are_means_all_of_them() -> None:
    replay, _ = filled(20, 4)
    assert set(replay.latest_states(100, 300, np.random.default_rng(0))[0, :, 0].tolist()) == {0, 1, 2, 3}


def test_a_replay_restored_from_its_state_draws_and_goes_on_the_same() -> None:
    for capacity, count in ((20, 6), (20, 20), (20, 33)):
        replay, _ = filled(capacity, count)
        again, _ = filled(capacity, 0)
        again.restore(replay.state())
        assert len(again) == len(replay)
        table = made_up_table()
        for number in range(100, 105):
            for each in (replay, again):
                each.add(*made_up(number, table, Encoder.fit(table)))
        samples = [each.sample(3, 50, np.random.default_rng(5)) for each in (replay, again)]
        assert all(torch.equal(a, b) for a, b in zip(*samples, strict=True))
        latest = [each.latest_states(3, 50, np.random.default_rng(5)) for each in (replay, again)]
        assert torch.equal(*latest)


def test_the_state_of_a_replay_does_not_follow_later_transitions() -> None:
    replay, _ = filled(5, 5)
    state = replay.state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    table = made_up_table()
    replay.add(*made_up(99, table, Encoder.fit(table)))
    assert all(torch.equal(state[name], before[name]) for name in state)


def test_a_replay_of_the_published_size_on_50_assets_stays_below_100_megabytes() -> None:
    settings = Settings()
    table = FeatureTable(settings.features, 0, np.zeros((1260, 50, 5)))
    replay = Replay(settings.replay_size, table, Encoder.fit(table))
    arrays = [value for value in vars(replay).values() if isinstance(value, np.ndarray)]
    arrays += replay._arrays.values()
    assert sum(array.nbytes for array in arrays) < 100e6
    # What it would be with whole states, which the replay need not hold.
    assert 2 * settings.replay_size * 301 * 4 > 200e6
