#!/usr/bin/env python3
"""Records Atari games as a dataset of frames: tokens, images and a manifest that allo reads.

    pip install ale-py numpy xxhash
    data/atari/record.py --game pong --steps 100000 --data-dir DATA_DIR --name pong
    data/atari/record.py --trace data/atari/traces/boxing.trace --data-dir DATA_DIR --name boxing

The emulator and its games come from ale-py; neither they nor recordings belong into a repository
(the games are not free), but a trace does: the actions alone, from which --trace makes the same
frames on any machine (action_trace.py). Everything else of Allometry works without this tool.

Who plays (expert.py): `script` reads the console's memory and plays Pong, Breakout, Freeway and
Boxing better than chance; `search` plays any game by plans that are tried on copies of the
emulator, slowly; `random`. With --epsilon an action is random that often; a list, as 0,0.05,0.2,1,
takes them in turn, a game each: the policy mix.

Frames are 64 x 64 RGB, averaged from the screen, every 4th one; actions are not sticky, as in Atari
100k (--sticky 0.25 is the emulator's own default). Lives do not end a game. A frame's tokens are its 8 x 8 patches of 8 x 8 pixels at eight grey
levels: the 4095 commonest patches of the train split have ids, all others share one. The manifest's
`source` says how many do. A learned tokenizer takes the images instead. With --outcomes each frame
ends with a token of what its action led to, 3 * end + sign(reward) + 1: what a world model that
policies are trained in has to foresee.

Games are cut into episodes of --frames frames; what is left of a game is counted in
frames_left_out. Whole games are held out: every twentieth, or the last of fewer.
"""
import argparse
import collections
import json
import os
import random
import sys

import ale_py
import numpy as np
import xxhash

import action_trace
import emulator
import expert
from emulator import SIDE

PATCH, LEVELS = 8, 8
PATCHES = (SIDE // PATCH) ** 2
KNOWN_PATCHES = 4095
OUTCOMES = 6


def patches(images):
    """Grey levels of the patches of images [n, 64, 64, 3], as bytes: [n, PATCHES]."""
    levels = (images.astype(np.uint16).sum(axis=3) // 3 * LEVELS // 256).astype(np.uint8)
    grid = SIDE // PATCH
    cut = levels.reshape(-1, grid, PATCH, grid, PATCH).transpose(0, 1, 3, 2, 4)
    cut = np.ascontiguousarray(cut).reshape(-1, PATCHES, PATCH * PATCH)
    return cut.view(f"V{PATCH * PATCH}")[..., 0]


def write_npy(folder, name, array, split, role):
    path = os.path.join(folder, name)
    np.save(path, array)
    with open(path, "rb") as file:
        contents = file.read()
    shard = {"file": name, "split": split, "dtype": {1: "u8", 2: "u16"}[array.dtype.itemsize],
             "tokens": array.shape[0], "bytes": len(contents),
             "hash": xxhash.xxh3_64_hexdigest(contents)}
    if role != "tokens":
        shard["role"] = role
    return shard


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", help="as ale-py spells it: pong")
    parser.add_argument("--trace", help="a trace to play again instead")
    parser.add_argument("--name", required=True, help="of the dataset")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--steps", type=int, default=100000, help="agent steps to record, at least")
    parser.add_argument("--player", choices=list(expert.PLAYERS), default="script")
    parser.add_argument("--epsilon", default="0", help="chance of a random action; a list: mixed")
    parser.add_argument("--outcomes", action="store_true", help="a token of reward and end behind each action")
    parser.add_argument("--frames", type=int, default=64, help="of an episode of the dataset")
    parser.add_argument("--sticky", type=float, default=0, help="chance that an action is repeated (0)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-steps", type=int, default=emulator.GAME_STEPS, help="a game, then it is cut")
    parser.add_argument("--return-games", type=int, default=3,
                        help="games to measure the expert's and the random return with")
    args = parser.parse_args()
    if (args.game is None) == (args.trace is None):
        parser.error("one of --game and --trace is needed")
    if args.trace:
        return args
    if args.game not in emulator.games():
        parser.error(f"--game {args.game}: ale-py has {', '.join(emulator.games())}")
    if args.player == "script" and args.game not in expert.SCRIPTS:
        parser.error(f"--player script plays {', '.join(expert.SCRIPTS)}; for {args.game} take search")
    try:
        args.epsilons = action_trace.chances(args.epsilon)
    except ValueError:
        parser.error(f"--epsilon {args.epsilon}: a number from 0 to 1, or several with commas")
    if args.frames < 1 or args.steps < 2 * args.frames:
        parser.error(f"--steps {args.steps}: allowed are at least two episodes of --frames {args.frames}")
    return args


class Recording:
    """Whole dataset episodes (images, actions, outcomes) by game, and what is told of them."""

    def __init__(self, frames):
        self.frames, self.games, self.left_out = frames, [], 0
        self.returns = collections.defaultdict(list)  # by epsilon

    def add(self, images, actions, outcomes, epsilon, total):
        whole = len(actions) // self.frames * self.frames
        self.left_out += len(actions) - whole
        self.returns[epsilon].append(total)
        if whole > 0:
            self.games.append((np.stack(images[:whole]), np.array(actions[:whole]), np.array(outcomes[:whole])))


def outcome(reward, over):
    """What an action led to, as data/outcome.h has it."""
    return 3 * over + (reward > 0) - (reward < 0) + 1


def play(game, args, player, number, epsilon, see):
    """Images, actions, outcomes and return of one game."""
    game.start(args.seed + number, emulator.no_ops(args.seed, number))
    images, actions, outcomes, total = [], [], [], 0.0
    player = expert.PLAYERS[player](game, args.seed + number)
    rng = random.Random(f"epsilon {args.seed} {number}")
    image = game.image() if see else None
    for action, reward in action_trace.play(game, player, epsilon, rng, args.most_steps):
        actions.append(action)
        outcomes.append(outcome(reward, game.over()))
        total += reward
        if see:
            images.append(image)
            image = game.image()
    return images, actions, outcomes, total


def record(args):
    """Games until there are --steps steps; the expert's and the random return."""
    game, recording, steps, number = emulator.Game(args.game, args.sticky), Recording(args.frames), 0, 0
    while steps < args.steps or len(recording.games) < 2:
        epsilon = args.epsilons[number % len(args.epsilons)]
        images, actions, outcomes, total = play(game, args, args.player, number, epsilon, True)
        recording.add(images, actions, outcomes, epsilon, total)
        steps, number = steps + len(actions), number + 1
        print(f"game {number}: {len(actions)} steps, return {total:g} at epsilon {epsilon:g}; "
              f"{steps} of {args.steps} steps", file=sys.stderr)

    def mean(player, first):
        return sum(play(game, args, player, first + i, 0, False)[3] for i in range(args.return_games)) / args.return_games
    return recording, {"expert": mean(args.player, number), "random": mean("random", number)}


def record_trace(args):
    """The games of a trace; returns as they stand in it."""
    recording, episodes = Recording(args.frames), {}

    def see(game, number, action):
        images, actions = episodes.setdefault(number, ([], []))
        images.append(game.image())
        actions.append(action)
    head, rewards, ends = action_trace.replay(args.trace, see)
    outcomes = iter([outcome(reward, over) for reward, over in zip(rewards, ends)])
    for number, (images, actions) in episodes.items():
        episode = head["episodes"][number]
        own = [next(outcomes) for _ in actions]
        recording.add(images, actions, own, episode["epsilon"], episode["return"])
    if len(recording.games) < 2:
        raise action_trace.Damaged(f"{args.trace}: one game of at least --frames {args.frames} steps to train on "
                                   "and one to hold out are needed")
    args.game, args.player = head["game"], head["player"]
    best = [e["return"] for e in head["episodes"] if e["epsilon"] == 0] or [0]
    return recording, {"expert": sum(best) / len(best), "random": head["random_return"]}


def main():
    args = arguments()
    folder = os.path.join(args.data_dir, args.name)
    if os.path.exists(os.path.join(folder, "dataset.json")):
        sys.exit(f"record.py: {folder} is a dataset already: choose another name")
    os.makedirs(folder, exist_ok=True)
    try:
        recording, returns = record_trace(args) if args.trace else record(args)
    except (action_trace.Damaged, OSError) as error:
        sys.exit(f"record.py: {error}")
    games, played = recording.games, recording.returns

    held = [i % 20 == 19 if len(games) >= 20 else i == len(games) - 1 for i in range(len(games))]
    splits = {s: [g for g, h in zip(games, held) if h == (s == "heldout")] for s in ("train", "heldout")}
    counts = collections.Counter()
    for images, _, _ in splits["train"]:
        counts.update(p.tobytes() for p in patches(images).ravel())
    # The commonest first, of equally common ones by their bytes: the same on every machine.
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KNOWN_PATCHES]
    ids = {patch: i for i, (patch, _) in enumerate(order)}
    known = sum(count for _, count in order) / sum(counts.values())
    observations = len(ids) + 1
    first_outcome = observations + emulator.ACTIONS
    vocabulary = first_outcome + OUTCOMES * args.outcomes

    shards, tokens = [], {}
    for split, of_split in splits.items():
        images = np.concatenate([g[0] for g in of_split])
        actions = np.concatenate([g[1] for g in of_split])
        frames = np.empty((len(actions), PATCHES + 1 + args.outcomes), np.uint16)
        frames[:, :PATCHES] = [[ids.get(p.tobytes(), observations - 1) for p in row] for row in patches(images)]
        frames[:, PATCHES] = observations + actions
        if args.outcomes:
            frames[:, -1] = first_outcome + np.concatenate([g[2] for g in of_split])
        tokens[split] = frames.size
        dtype = np.uint8 if vocabulary <= 256 else np.uint16
        shards.append(write_npy(folder, f"{split}-00000.npy", frames.ravel().astype(dtype), split, "tokens"))
        shards.append(write_npy(folder, f"{split}-images-00000.npy", images, split, "images"))
    tokenizer = f"atari-patches-{xxhash.xxh3_64_hexdigest(b''.join(ids))}"
    manifest = {
        "version": 1, "name": args.name, "kind": "trajectories",
        "licence": "recorded from a commercial game: do not redistribute",
        "source": f"ale-py {ale_py.__version__}, {args.game}, {args.player}; "
                  f"{100 * known:.3f} % of patches of the train split have ids of their own",
        "generator": "record.py " + " ".join(
            f"--{k.replace('_', '-')} {v}" for k, v in sorted(vars(args).items())
            if k not in ("data_dir", "name", "epsilons") and (k, v) != ("outcomes", False)),
        "vocabulary": vocabulary,
        "segments": [{"name": "observation", "begin": 0, "end": observations},
                     {"name": "action:0", "begin": observations, "end": first_outcome},
                     {"name": "outcome", "begin": first_outcome, "end": vocabulary}][:2 + args.outcomes],
        "tokenizer": tokenizer, "tokenizer_hash": xxhash.xxh3_64_hexdigest((tokenizer + "\n").encode()),
        "token_bytes": [], "shards": shards,
        "documents": sum(tokens.values()) // (args.frames * (PATCHES + 1 + args.outcomes)),
        "unique_tokens": tokens["train"], "heldout_tokens": tokens["heldout"],
        "frames": {"tokens_per_observation": PATCHES, "tokens_per_action": 1,
                   "frames_per_episode": args.frames, "frames_left_out": recording.left_out,
                   "image_height": SIDE, "image_width": SIDE, "image_channels": 3,
                   **({"tokens_per_outcome": 1} if args.outcomes else {})},
        "policy": f"{args.player}, epsilon " + ", ".join(
            f"{e:g} (mean return {np.mean(r):g})" for e, r in sorted(played.items())),
        "returns": returns,
    }
    temporary = os.path.join(folder, "dataset.json.tmp.record")
    with open(temporary, "w") as file:
        json.dump(manifest, file, indent=1)
        file.write("\n")
    os.replace(temporary, os.path.join(folder, "dataset.json"))
    print(f"{folder}: {tokens['train']} tokens to train on, {tokens['heldout']} held out; returns {returns}")


if __name__ == "__main__":
    main()
