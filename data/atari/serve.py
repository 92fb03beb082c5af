#!/usr/bin/env python3
"""Plays Atari games for a program at the other end of two pipes: the environment of `process:` runs.

    pip install ale-py numpy
    data/atari/serve.py [--cap STEPS]     requests on standard input, answers on standard output

The protocol, little-endian (environments/process.h):

    I u32 n, u8 length, game   ->  u32 actions, u16 height, u16 width, u8 channels
    R n x i64 episode          ->  n frames; episode -1 leaves that copy as it is
    S n x u8 action            ->  n x f32 reward, n x u8 flags, n frames
    Q                          ends; so does the end of standard input

Flags: 1 the game is over, 2 a life was lost, 4 cut off after --cap steps. Episodes start with 0 to 30
no-ops by their number; lives do not end one. A copy that is over stays as it is until R.
"""
import argparse
import struct
import sys

import numpy as np

import emulator

OVER, LIFE, CUT = 1, 2, 4


class Copies:
    def __init__(self, name, count, cap):
        self.games = [emulator.Game(name) for _ in range(count)]
        self.steps = [0] * count
        self.flags = [OVER] * count
        self.frames = np.zeros((count, emulator.SIDE, emulator.SIDE, 3), np.uint8)
        self.cap = cap

    def reset(self, episodes):
        for i, episode in enumerate(episodes):
            if episode < 0:
                continue
            self.games[i].start(episode, emulator.no_ops(0, episode))
            self.steps[i], self.flags[i] = 0, 0
            self.frames[i] = self.games[i].image()
        return self.frames.tobytes()

    def step(self, actions):
        rewards = np.zeros(len(self.games), "<f4")
        flags = np.zeros(len(self.games), np.uint8)
        for i, game in enumerate(self.games):
            if self.flags[i] & (OVER | CUT):
                flags[i] = self.flags[i]
                continue
            lives = game.ale.lives()
            rewards[i] = game.act(int(actions[i]))
            self.steps[i] += 1
            over = game.over()
            flags[i] = OVER * over | LIFE * (game.ale.lives() < lives) | CUT * (not over and self.steps[i] >= self.cap)
            self.flags[i] = flags[i]
            self.frames[i] = game.image()
        return rewards.tobytes() + flags.tobytes() + self.frames.tobytes()


def serve(requests, answers, cap):
    def take(size):
        data = requests.read(size)
        if len(data) != size:
            sys.exit("serve.py: a request ended early")
        return data

    copies = None
    while True:
        word = requests.read(1)
        if word in (b"", b"Q"):
            return
        if word == b"I":
            count, length = struct.unpack("<IB", take(5))
            name = take(length).decode()
            if name not in emulator.games():
                sys.exit(f"serve.py: ale-py has no game '{name}'; it has {', '.join(emulator.games())}")
            copies = Copies(name, count, cap)
            answer = struct.pack("<IHHB", emulator.ACTIONS, emulator.SIDE, emulator.SIDE, 3)
        elif word == b"R" and copies:
            answer = copies.reset(np.frombuffer(take(8 * len(copies.games)), "<i8").tolist())
        elif word == b"S" and copies:
            actions = take(len(copies.games))
            if max(actions) >= emulator.ACTIONS:
                sys.exit(f"serve.py: action {max(actions)}: there are 0 to {emulator.ACTIONS - 1}")
            answer = copies.step(actions)
        else:
            sys.exit(f"serve.py: a request that begins with {word!r}: I comes first, then R, S or Q")
        answers.write(answer)
        answers.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cap", type=int, default=emulator.GAME_STEPS,
                        help=f"steps after which a game is cut ({emulator.GAME_STEPS})")
    args = parser.parse_args()
    if args.cap < 1:
        parser.error("--cap is at least 1")
    serve(sys.stdin.buffer, sys.stdout.buffer, args.cap)


if __name__ == "__main__":
    main()
