#!/usr/bin/env python3
"""Atari datasets as their actions: a few kilobytes from which every frame comes back.

    pip install ale-py numpy xxhash
    data/atari/action_trace.py make boxing --steps 3000 --output boxing.trace
    data/atari/action_trace.py check data/atari/traces/*.trace
    data/atari/record.py --trace boxing.trace --data-dir DATA_DIR --name boxing

Without sticky actions the emulator is a function of the game, its seed and the actions. So a trace
holds neither a frame nor a part of a game, and may be shared. `check` plays it again and compares
the console's memory after every 1,000 steps and at the end of each episode, and the returns.

The file: a line of JSON, then one byte an action, compressed by zlib. In the line: `game`,
`rom_md5`, `ale_py` (the version it was made with), `seed`, `frame_skip`, `player`, `cap` (steps
after which an episode is cut), `episodes` (each with `epsilon`: the chance of a random action,
`no_ops`, `steps`, `return`), `hashes` (each with `step`, counted over the whole trace, and `ram`:
XXH3-64 of the memory), and `random_return`: the mean of five random games under the same cap.
"""
import argparse
import json
import os
import random
import sys
import zlib

import ale_py
import xxhash

import emulator
import expert

HASH_STEPS = 1000
RANDOM_GAMES = 5


class Damaged(Exception):
    """A trace that cannot be read, or that plays differently here."""


def read(path):
    try:
        with open(path, "rb") as file:
            head, actions = zlib.decompress(file.read()).split(b"\n", 1)
        head = json.loads(head)
        steps = sum(episode["steps"] for episode in head["episodes"])
        head["game"], head["seed"], head["hashes"], head["rom_md5"], head["frame_skip"]
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path}: not a trace ({error})") from error
    if steps != len(actions):
        raise Damaged(f"{path}: {len(actions)} actions for {steps} steps")
    if any(action >= emulator.ACTIONS for action in actions):
        raise Damaged(f"{path}: an action above {emulator.ACTIONS - 1}")
    return head, actions


def write(path, head, actions):
    temporary = path + ".tmp"
    with open(temporary, "wb") as file:
        file.write(zlib.compress(json.dumps(head, separators=(",", ":")).encode() + b"\n" + bytes(actions), 9))
    os.replace(temporary, path)


def memory_hash(game):
    return xxhash.xxh3_64_hexdigest(game.ram().tobytes())


def replay(path, see=None):
    """Plays a trace again; `see(game, episode, action)` is called before each step.

    Gives the trace's head, and of each step its reward and whether the game was over behind it.
    """
    head, actions = read(path)
    if head["game"] not in emulator.games():
        raise Damaged(f"{path}: ale-py has no game '{head['game']}'")
    if emulator.rom_hash(head["game"]) != head["rom_md5"]:
        raise Damaged(f"{path}: made with another {head['game']}: its MD5 is {head['rom_md5']}, "
                      f"here {emulator.rom_hash(head['game'])}")
    game = emulator.Game(head["game"], frame_skip=head["frame_skip"])
    expected = {one["step"]: one["ram"] for one in head["hashes"]}
    step, rewards, ends = 0, [], []
    for number, episode in enumerate(head["episodes"]):
        game.start(head["seed"] + number, episode["no_ops"])
        total = 0.0
        for _ in range(episode["steps"]):
            if see:
                see(game, number, actions[step])
            rewards.append(game.act(actions[step]))
            ends.append(game.over())
            total += rewards[-1]
            step += 1
            if step in expected and memory_hash(game) != expected[step]:
                raise Damaged(f"{path}: after step {step} the console's memory is not what it was when the "
                              f"trace was made with ale-py {head['ale_py']}; here is {ale_py.__version__}")
        if total != episode["return"]:
            raise Damaged(f"{path}: episode {number} returns {total:g} and not {episode['return']:g}")
    return head, rewards, ends


def play(game, player, epsilon, rng, cap, all_actions=False):
    """Yields action and reward of each step of one episode.

    A random action is one that the game tells apart, or with all_actions any of the 18.
    """
    for _ in range(cap):
        if game.over():
            return
        action = player.act()
        if rng.random() < epsilon:
            action = rng.choice(range(emulator.ACTIONS) if all_actions else game.actions)
        yield action, game.act(action)


def make(args):
    game = emulator.Game(args.game)
    actions, episodes, hashes = [], [], []
    while len(actions) < args.steps:
        number = len(episodes)
        epsilon = args.epsilons[number % len(args.epsilons)]
        waits = emulator.no_ops(args.seed, number)
        game.start(args.seed + number, waits)
        player = expert.PLAYERS[args.player](game, args.seed + number)
        first, total = len(actions), 0.0
        rng = random.Random(f"epsilon {args.seed} {number}")
        for action, reward in play(game, player, epsilon, rng, args.cap, args.all_actions):
            actions.append(action)
            total += reward
            if len(actions) % HASH_STEPS == 0:
                hashes.append({"step": len(actions), "ram": memory_hash(game)})
        if not hashes or hashes[-1]["step"] != len(actions):
            hashes.append({"step": len(actions), "ram": memory_hash(game)})
        episodes.append({"epsilon": epsilon, "no_ops": waits, "steps": len(actions) - first, "return": total})
        print(f"{args.game}, episode {number}: {len(actions) - first} steps, return {total:g} at epsilon "
              f"{epsilon:g}; {len(actions)} of {args.steps} steps", file=sys.stderr, flush=True)
    returns = []
    for number in range(RANDOM_GAMES):
        game.start(args.seed - 1 - number, emulator.no_ops(args.seed, -1 - number))
        returns.append(sum(r for _, r in play(game, expert.Random(game, number), 0, random.Random(0), args.cap)))
    write(args.output, {
        "game": args.game, "rom_md5": emulator.rom_hash(args.game), "ale_py": ale_py.__version__,
        "seed": args.seed, "frame_skip": emulator.FRAME_SKIP, "player": args.player, "cap": args.cap,
        "episodes": episodes, "hashes": hashes, "random_return": sum(returns) / len(returns)}, actions)


def check(args):
    wrong = 0
    for path in args.traces:
        try:
            head, rewards, _ = replay(path)
        except (Damaged, OSError) as error:
            print(error, file=sys.stderr)
            wrong += 1
            continue
        best = [e["return"] for e in head["episodes"] if e["epsilon"] == 0]
        print(f"{path}: {len(rewards)} steps of {head['game']} in {len(head['episodes'])} episodes as they were; "
              f"{head['player']} {sum(best) / max(1, len(best)):g}, random {head['random_return']:g}")
    return 1 if wrong else 0


def chances(text):
    values = [float(part) for part in text.split(",")]
    if not all(0 <= value <= 1 for value in values):
        raise ValueError
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="play a game and write its trace")
    making.add_argument("game", choices=emulator.games(), metavar="GAME", help="as ale-py spells it: ms_pacman")
    making.add_argument("--output", required=True)
    making.add_argument("--steps", type=int, default=100000, help="at least; whole episodes (100000)")
    making.add_argument("--player", choices=list(expert.PLAYERS), default="search")
    making.add_argument("--epsilons", type=chances, default=[0, 0.05, 0.2, 1], metavar="LIST",
                        help="chances of a random action, an episode each by turns (0,0.05,0.2,1)")
    making.add_argument("--all-actions", action="store_true",
                        help="random actions are any of the 18, not only those that the game tells apart: for policies, "
                             "which choose among all")
    making.add_argument("--cap", type=int, default=1000, help="steps after which an episode is cut (1000)")
    making.add_argument("--seed", type=int, default=1)
    checking = commands.add_parser("check", help="play traces again and compare")
    checking.add_argument("traces", nargs="+", metavar="TRACE")
    args = parser.parse_args()
    if args.command == "check":
        return check(args)
    if args.steps < 1 or args.cap < 1:
        parser.error("--steps and --cap are at least 1")
    if args.player == "script" and args.game not in expert.SCRIPTS:
        parser.error(f"--player script plays {', '.join(expert.SCRIPTS)}; for {args.game} take search")
    make(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
