"""Players of Atari games: random, scripts that read the console's memory, and a search for any game.

The search plans on copies of the emulator: of a few dozen plans of `depth` steps it follows the
best for `commit` steps, then plans again. It needs no learning and no knowledge of the game. What
it plays shows a world model good play; it cannot be cloned, because the plan depends on chance that
nobody sees.
"""
import random

# Addresses of RAM: Anand et al. 2019, "Unsupervised State Representation Learning in Atari".
NOOP, FIRE, UP, RIGHT, LEFT, DOWN, UPRIGHT, UPLEFT, DOWNRIGHT, DOWNLEFT = range(10)


def pong(ram, memory):
    ball_x, ball_y, player_y = int(ram[49]), int(ram[54]), int(ram[51])
    if ball_x == 0:
        memory.clear()
        return FIRE
    leaving = ball_x < memory.get("ball_x", ball_x)
    memory["ball_x"] = ball_x
    # The paddle is eight pixels longer than its reference; while the ball is on the other side it
    # waits half-way to the middle.
    target = ball_y - 6
    if leaving:
        target = (target + 122) / 2
    if abs(target - player_y) <= 8:
        return NOOP
    return RIGHT if target < player_y else LEFT


def breakout(ram, memory):
    ball_x, ball_y, player_x = int(ram[99]), int(ram[101]), int(ram[72])
    if ball_y == 0:
        return FIRE
    before = memory.get("ball_x", ball_x)
    memory["ball_x"] = ball_x
    # Leads the ball by its motion of one step.
    target = ball_x + (ball_x - before)
    if abs(target - player_x - 8) <= 4:
        return NOOP
    return RIGHT if target > player_x + 8 else LEFT


def freeway(ram, memory):
    # The chicken crosses ten lanes; ram[14] is its height. It waits below a lane whose car is near.
    height = int(ram[14])
    lane = (height - 10) // 16 + 1
    if 0 <= lane < 10:
        car = int(ram[108 + lane])
        approaching = 30 <= car <= 52 if lane < 5 else 38 <= car <= 60
        if approaching and height % 16 > 8:
            return NOOP
    return UP


def boxing(ram, memory):
    dx, dy = int(ram[33]) - int(ram[32]), int(ram[35]) - int(ram[34])
    memory["step"] = step = memory.get("step", 0) + 1
    # Punches land from about 30 pixels away at nearly the same height, and need a pause.
    if abs(dx) <= 32 and abs(dy) <= 6 and step % 2 == 0:
        return FIRE
    side = 1 if dx > 0 else -1
    across = side if abs(dx) > 28 else -side if abs(dx) < 20 else 0
    along = 0 if abs(dy) <= 6 else 1 if dy > 0 else -1
    return {(0, 0): FIRE, (1, 0): RIGHT, (-1, 0): LEFT, (0, 1): DOWN, (0, -1): UP,
            (1, 1): DOWNRIGHT, (1, -1): UPRIGHT, (-1, 1): DOWNLEFT, (-1, -1): UPLEFT}[across, along]


SCRIPTS = {"pong": pong, "breakout": breakout, "freeway": freeway, "boxing": boxing}

# Where rewards are far, a hint of being nearer to one.
HINTS = {
    "freeway": lambda ram: int(ram[14]) / 170,
    "breakout": lambda ram: -abs(int(ram[99]) - int(ram[72]) - 8) / 400,
    "pong": lambda ram: -abs(int(ram[54]) - int(ram[51])) / 4000,
}


class Random:
    def __init__(self, game, seed):
        self.game, self.rng = game, random.Random(f"random {seed}")

    def act(self):
        return self.rng.choice(self.game.actions)


class Script:
    def __init__(self, game, seed):
        self.game, self.memory = game, {}

    def act(self):
        action = SCRIPTS[self.game.name](self.game.ram(), self.memory)
        return action if action in self.game.actions else NOOP


class Search:
    DISCOUNT = 0.98
    LIFE = 5  # mean rewards that a life is worth

    def __init__(self, game, seed, depth=25, plans=16, commit=8):
        self.game, self.rng = game, random.Random(f"search {seed}")
        self.depth, self.plans, self.commit = depth, plans, commit
        self.plan, self.followed = [], 0
        self.rewards, self.rewarded = 0.0, 0
        self.hint = HINTS.get(game.name, lambda ram: 0)

    def act(self):
        if not self.plan or self.followed == self.commit:
            self.plan, self.followed = self.best_plan(self.plan[self.followed:]), 0
        self.followed += 1
        return self.plan[self.followed - 1]

    def runs(self, length):
        """Random runs of 1 to 6 equal actions."""
        plan = []
        while len(plan) < length:
            plan += [self.rng.choice(self.game.actions)] * self.rng.randint(1, 6)
        return plan[:length]

    def mutated(self, plan):
        begin = self.rng.randrange(self.depth)
        length = self.rng.randint(2, 8)
        action = self.rng.choice(self.game.actions)
        return [action if begin <= i < begin + length else old for i, old in enumerate(plan)]

    def best_plan(self, kept):
        kept = (kept + self.runs(self.depth))[:self.depth]
        plans = [kept] + [self.mutated(kept) for _ in range(self.plans // 2 - 1)]
        plans += [self.runs(self.depth) for _ in range(self.plans - len(plans))]
        plans += [[action] * self.depth for action in self.game.actions]
        ale = self.game.ale
        state = ale.cloneState(include_rng=False)
        values = []
        for plan in plans:
            values.append(self.value(ale, plan))
            ale.restoreState(state)
        return plans[max(range(len(plans)), key=values.__getitem__)]

    def value(self, ale, plan):
        lives, weight, total = ale.lives(), 1.0, 0.0
        for action in plan:
            reward = ale.act(action)
            if reward:
                total += weight * reward
                self.rewards, self.rewarded = self.rewards + abs(reward), self.rewarded + 1
            if ale.game_over() or ale.lives() < lives:
                mean = self.rewards / self.rewarded if self.rewarded else 1
                return total - weight * self.LIFE * mean
            weight *= self.DISCOUNT
        return total + self.hint(ale.getRAM())


class QuickSearch(Search):
    """Fewer and shorter plans: two to three times the steps a second, in some games worse play."""

    def __init__(self, game, seed):
        super().__init__(game, seed, depth=12, plans=8, commit=6)


PLAYERS = {"random": Random, "script": Script, "search": Search, "quick-search": QuickSearch}
