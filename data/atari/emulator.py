"""Atari games by the conventions of Atari 100k: 4 frames an action, 64 x 64 pictures, 0 to 30 no-ops.

An episode starts from a freshly loaded game, so that it is a function of the game, the emulator's
version, its seed, its number of no-ops and its actions. With sticky actions (0.25 is the
emulator's own default, 0 is ours) the seed decides which actions are repeated.
"""
import hashlib
import random

import ale_py
import numpy as np
from ale_py import ALEInterface, roms

SIDE = 64
FRAME_SKIP = 4
GAME_STEPS = 27000  # half an hour of play at 60 frames a second and a skip of 4
ACTIONS = 18        # of every game: ids of the emulator
NO_OPS = 30         # at most, at the start of an episode

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


def games():
    return sorted(roms.get_all_rom_ids())


def rom_hash(game):
    """MD5 of the game's file."""
    with open(roms.get_rom_path(game), "rb") as file:
        return hashlib.md5(file.read()).hexdigest()


class Game:
    """One game. Lives do not end an episode."""

    def __init__(self, game, sticky=0.0, frame_skip=FRAME_SKIP):
        self.name = game
        self.ale = ALEInterface()
        self.ale.setFloat("repeat_action_probability", sticky)
        self.ale.setInt("frame_skip", frame_skip)
        self.actions = []

    def start(self, seed, no_ops):
        """Loads the game anew and waits for that many steps."""
        self.ale.setInt("random_seed", seed % 2**31)
        self.ale.loadROM(roms.get_rom_path(self.name))
        self.actions = [action.value for action in self.ale.getMinimalActionSet()]
        for _ in range(no_ops):
            self.ale.act(0)

    def act(self, action):
        """The reward of one step: the sum over its frames."""
        return float(self.ale.act(action))

    def over(self):
        return self.ale.game_over()

    def ram(self):
        return self.ale.getRAM()

    def image(self):
        """The screen as [64, 64, 3] bytes, each pixel the mean of those that it covers."""
        screen = self.ale.getScreenRGB()
        rows = np.linspace(0, screen.shape[0], SIDE + 1).astype(int)
        columns = np.linspace(0, screen.shape[1], SIDE + 1).astype(int)
        sums = np.add.reduceat(screen.astype(np.uint32), rows[:-1], axis=0)
        sums = np.add.reduceat(sums, columns[:-1], axis=1)
        area = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]
        return (sums // area).astype(np.uint8)


def no_ops(seed, episode):
    """The number of no-ops with which an episode starts."""
    return random.Random(f"{seed} {episode}").randint(0, NO_OPS)
