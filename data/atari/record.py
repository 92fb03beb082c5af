#!/usr/bin/env python3
"""Records Atari games as a dataset of frames: tokens, images and a manifest that allo reads.

    pip install ale-py numpy xxhash
    data/atari/record.py --game pong --steps 100000 --data-dir DATA_DIR --name pong

The emulator and its games come from ale-py; neither they nor recordings belong into a repository
(the games are not free). Everything else of Allometry works without this tool.

Who plays: `script` reads the console's memory (addresses: Anand et al. 2019, "Unsupervised State
Representation Learning in Atari") and plays Pong, Breakout, Freeway and Boxing better than chance; `search` plays
any game by random shooting on copies of the emulator, slowly; `random`. With --epsilon an action is
random that often; a list, as 0,0.05,0.2,1, takes them in turn, a game each: the policy mix.

Frames are 64 x 64 RGB, averaged from the screen, every 4th one (--frame-skip); actions are sticky
with chance 0.25 (--sticky). A frame's tokens are its 8 x 8 patches of 8 x 8 pixels at eight grey
levels: the 4095 commonest patches of the train split have ids, all others share one. The manifest's
`source` says how many do. A learned tokenizer takes the images instead.

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
from ale_py import Action, ALEInterface, roms

ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)

SIDE, PATCH, LEVELS = 64, 8, 8
PATCHES = (SIDE // PATCH) ** 2
KNOWN_PATCHES = 4095
GAME_STEPS = 27000  # half an hour of play at 60 frames a second and a skip of 4


def pong(ram, memory):
    ball_x, ball_y, player_y = int(ram[49]), int(ram[54]), int(ram[51])
    if ball_x == 0:
        memory.clear()
        return Action.FIRE
    leaving = ball_x < memory.get("ball_x", ball_x)
    memory["ball_x"] = ball_x
    # The paddle is eight pixels longer than its reference; while the ball is on the other side it
    # waits half-way to the middle.
    target = ball_y - 6
    if leaving:
        target = (target + 122) / 2
    if abs(target - player_y) <= 8:
        return Action.NOOP
    return Action.RIGHT if target < player_y else Action.LEFT


def breakout(ram, memory):
    ball_x, ball_y, player_x = int(ram[99]), int(ram[101]), int(ram[72])
    if ball_y == 0:
        return Action.FIRE
    before = memory.get("ball_x", ball_x)
    memory["ball_x"] = ball_x
    # Leads the ball by its motion of one step.
    target = ball_x + (ball_x - before)
    if abs(target - player_x - 8) <= 4:
        return Action.NOOP
    return Action.RIGHT if target > player_x + 8 else Action.LEFT


def freeway(ram, memory):
    # The chicken crosses ten lanes; ram[14] is its height. It waits below a lane whose car is near.
    height = int(ram[14])
    lane = (height - 10) // 16 + 1
    if 0 <= lane < 10:
        car = int(ram[108 + lane])
        approaching = 30 <= car <= 52 if lane < 5 else 38 <= car <= 60
        if approaching and height % 16 > 8:
            return Action.NOOP
    return Action.UP


def boxing(ram, memory):
    dx, dy = int(ram[33]) - int(ram[32]), int(ram[35]) - int(ram[34])
    memory["step"] = step = memory.get("step", 0) + 1
    # Punches land from about 30 pixels away at nearly the same height, and need a pause.
    if abs(dx) <= 32 and abs(dy) <= 6 and step % 2 == 0:
        return Action.FIRE
    side = 1 if dx > 0 else -1
    across = side if abs(dx) > 28 else -side if abs(dx) < 20 else 0
    along = 0 if abs(dy) <= 6 else 1 if dy > 0 else -1
    return {(0, 0): Action.FIRE, (1, 0): Action.RIGHT, (-1, 0): Action.LEFT, (0, 1): Action.DOWN,
            (0, -1): Action.UP, (1, 1): Action.DOWNRIGHT, (1, -1): Action.UPRIGHT,
            (-1, 1): Action.DOWNLEFT, (-1, -1): Action.UPLEFT}[across, along]


SCRIPTS = {"pong": pong, "breakout": breakout, "freeway": freeway, "boxing": boxing}


def search(ale, actions, rng, depth, rollouts, skip):
    """The first action of the best of `rollouts` random plans of `depth` steps, held in pairs."""
    state = ale.cloneState(include_rng=False)
    best, choice = None, rng.choice(actions)
    for _ in range(rollouts):
        first, total, action = None, 0.0, None
        lives = ale.lives()
        for step in range(depth):
            if step % 2 == 0:
                action = rng.choice(actions)
            first = action if first is None else first
            total += sum(ale.act(action) for _ in range(skip)) * 0.98 ** step
            if ale.game_over() or ale.lives() < lives:
                total -= 1
                break
        if best is None or total > best:
            best, choice = total, first
        ale.restoreState(state)
    return choice


class Player:
    """Plays one game after another: (action, image) pairs and the game's return."""

    def __init__(self, args):
        self.args = args
        self.rng = random.Random(args.seed)
        self.ale = ALEInterface()
        self.ale.setInt("random_seed", args.seed)
        self.ale.setFloat("repeat_action_probability", args.sticky)
        self.ale.loadROM(roms.get_rom_path(args.game))
        self.actions = list(self.ale.getMinimalActionSet())

    def image(self):
        screen = self.ale.getScreenRGB()
        rows = np.linspace(0, screen.shape[0], SIDE + 1).astype(int)
        columns = np.linspace(0, screen.shape[1], SIDE + 1).astype(int)
        sums = np.add.reduceat(screen.astype(np.uint32), rows[:-1], axis=0)
        sums = np.add.reduceat(sums, columns[:-1], axis=1)
        area = np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None]
        return (sums // area).astype(np.uint8)

    def choose(self, player, epsilon, memory):
        if player == "random" or self.rng.random() < epsilon:
            return self.rng.choice(self.actions)
        if player == "search":
            return search(self.ale, self.actions, self.rng, self.args.depth, self.args.rollouts,
                          self.args.frame_skip)
        action = SCRIPTS[self.args.game](self.ale.getRAM(), memory)
        return action if action in self.actions else Action.NOOP

    def game(self, player, epsilon, most_steps, see=True):
        self.ale.reset_game()
        for _ in range(self.rng.randint(0, 30)):
            self.ale.act(Action.NOOP)
        memory, images, actions, total = {}, [], [], 0.0
        while not self.ale.game_over() and len(actions) < most_steps:
            if see:
                images.append(self.image())
            action = self.choose(player, epsilon, memory)
            actions.append(self.actions.index(action))
            total += sum(self.ale.act(action) for _ in range(self.args.frame_skip))
        return images, actions, total


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
    parser.add_argument("--game", required=True, help="as ale-py spells it: pong")
    parser.add_argument("--name", required=True, help="of the dataset")
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--steps", type=int, default=100000, help="agent steps to record, at least")
    parser.add_argument("--player", choices=["script", "search", "random"], default="script")
    parser.add_argument("--epsilon", default="0", help="chance of a random action; a list: mixed")
    parser.add_argument("--frames", type=int, default=64, help="of an episode of the dataset")
    parser.add_argument("--frame-skip", type=int, default=4)
    parser.add_argument("--sticky", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--depth", type=int, default=12, help="of the search, in steps")
    parser.add_argument("--rollouts", type=int, default=24, help="of the search, a step")
    parser.add_argument("--most-steps", type=int, default=GAME_STEPS, help="a game, then it is cut")
    parser.add_argument("--return-games", type=int, default=3,
                        help="games to measure the expert's and the random return with")
    args = parser.parse_args()
    if args.game not in roms.get_all_rom_ids():
        parser.error(f"--game {args.game}: ale-py has {', '.join(sorted(roms.get_all_rom_ids()))}")
    if args.player == "script" and args.game not in SCRIPTS:
        parser.error(f"--player script plays {', '.join(SCRIPTS)}; for {args.game} take search")
    try:
        args.epsilons = [float(e) for e in args.epsilon.split(",")]
    except ValueError:
        parser.error(f"--epsilon {args.epsilon}: a number from 0 to 1, or several with commas")
    if not all(0 <= e <= 1 for e in args.epsilons):
        parser.error(f"--epsilon {args.epsilon}: allowed is 0 to 1")
    if args.frames < 1 or args.steps < 2 * args.frames:
        parser.error(f"--steps {args.steps}: allowed are at least two episodes of --frames {args.frames}")
    return args


def record(player, args):
    """Games cut into episodes: (images, actions) of whole episodes by game; frames left over."""
    games, steps, left_out, returns = [], 0, 0, collections.defaultdict(list)
    while steps < args.steps or len(games) < 2:
        epsilon = args.epsilons[len(games) % len(args.epsilons)]
        images, actions, total = player.game(args.player, epsilon, args.most_steps)
        whole = len(actions) // args.frames * args.frames
        left_out += len(actions) - whole
        steps += len(actions)
        returns[epsilon].append(total)
        if whole > 0:
            games.append((np.stack(images[:whole]), np.array(actions[:whole])))
        print(f"game {len(games)}: {len(actions)} steps, return {total:g} at epsilon {epsilon:g}; "
              f"{steps} of {args.steps} steps", file=sys.stderr)
    return games, left_out, returns


def main():
    args = arguments()
    folder = os.path.join(args.data_dir, args.name)
    if os.path.exists(os.path.join(folder, "dataset.json")):
        sys.exit(f"record.py: {folder} is a dataset already: choose another name")
    os.makedirs(folder, exist_ok=True)
    player = Player(args)
    games, left_out, played = record(player, args)
    mean = lambda who: sum(player.game(who, 0, args.most_steps, see=False)[2]
                           for _ in range(args.return_games)) / args.return_games
    returns = {"expert": mean(args.player), "random": mean("random")}

    held = [i % 20 == 19 if len(games) >= 20 else i == len(games) - 1 for i in range(len(games))]
    splits = {s: [g for g, h in zip(games, held) if h == (s == "heldout")] for s in ("train", "heldout")}
    counts = collections.Counter()
    for images, _ in splits["train"]:
        counts.update(p.tobytes() for p in patches(images).ravel())
    # The commonest first, of equally common ones by their bytes: the same on every machine.
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KNOWN_PATCHES]
    ids = {patch: i for i, (patch, _) in enumerate(order)}
    known = sum(count for _, count in order) / sum(counts.values())
    observations = len(ids) + 1

    shards, tokens = [], {}
    for split, of_split in splits.items():
        images = np.concatenate([g[0] for g in of_split])
        actions = np.concatenate([g[1] for g in of_split])
        frames = np.empty((len(actions), PATCHES + 1), np.uint16)
        frames[:, :-1] = [[ids.get(p.tobytes(), observations - 1) for p in row] for row in patches(images)]
        frames[:, -1] = observations + actions
        tokens[split] = frames.size
        dtype = np.uint8 if observations + len(player.actions) <= 256 else np.uint16
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
            if k not in ("data_dir", "name", "epsilons")),
        "vocabulary": observations + len(player.actions),
        "segments": [{"name": "observation", "begin": 0, "end": observations},
                     {"name": "action:0", "begin": observations,
                      "end": observations + len(player.actions)}],
        "tokenizer": tokenizer, "tokenizer_hash": xxhash.xxh3_64_hexdigest((tokenizer + "\n").encode()),
        "token_bytes": [], "shards": shards,
        "documents": sum(tokens.values()) // (args.frames * (PATCHES + 1)),
        "unique_tokens": tokens["train"], "heldout_tokens": tokens["heldout"],
        "frames": {"tokens_per_observation": PATCHES, "tokens_per_action": 1,
                   "frames_per_episode": args.frames, "frames_left_out": left_out,
                   "image_height": SIDE, "image_width": SIDE, "image_channels": 3},
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
