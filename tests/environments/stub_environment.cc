// A program that speaks the protocol of environments/process.h. Its game: an image of one pixel,
// the number of the episode plus the steps so far; three actions with the rewards -1, 0 and 1; an
// episode ends with its fifth step. By the game's name it fails in one of the ways that programs
// fail.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

constexpr int kSteps = 5;

// A game's name may end with "@16x16x3x8": images of 16 x 16 x 3 bytes, all equal, and 8 actions.
struct Look {
  unsigned height = 1, width = 1, channels = 1, actions = 3;
};
Look TakeLook(std::string* game) {
  Look look;
  const size_t at = game->find('@');
  if (at == std::string::npos) return look;
  sscanf(game->c_str() + at + 1, "%ux%ux%ux%u", &look.height, &look.width, &look.channels,
         &look.actions);
  game->resize(at);
  return look;
}

void ReadAll(void* to, size_t size) {
  if (fread(to, 1, size, stdin) != size) exit(0);
}
template <class T>
T Take() {
  T value;
  ReadAll(&value, sizeof(value));
  return value;
}
template <class T>
void Put(T value) {
  fwrite(&value, 1, sizeof(value), stdout);
}

struct Copy {
  int64_t episode = 0;
  int steps = kSteps;
};

}  // namespace

int main() {
  std::vector<Copy> copies;
  std::string game;
  Look look;
  int calls = 0;
  const auto show = [&] {
    for (const Copy& copy : copies) {
      const auto value = static_cast<uint8_t>(copy.episode + copy.steps);
      for (unsigned i = 0; i < look.height * look.width * look.channels; ++i) Put(value);
    }
    fflush(stdout);
  };
  for (;;) {
    const char call = Take<char>();
    if (call == 'Q') return 0;
    if (call == 'I') {
      copies.resize(Take<uint32_t>());
      game.resize(Take<uint8_t>());
      ReadAll(game.data(), game.size());
      if (game == "refuses") {
        fprintf(stderr, "no such game\n");
        return 3;
      }
      look = TakeLook(&game);
      Put(static_cast<uint32_t>(game == "huge" ? 1000 : look.actions));
      Put(static_cast<uint16_t>(look.height));
      Put(static_cast<uint16_t>(look.width));
      Put(static_cast<uint8_t>(look.channels));
      fflush(stdout);
    } else if (call == 'R') {
      for (Copy& copy : copies) {
        const auto episode = Take<int64_t>();
        if (episode >= 0) copy = {episode, 0};
      }
      show();
    } else if (call == 'S') {
      std::vector<uint8_t> actions(copies.size());
      ReadAll(actions.data(), actions.size());
      ++calls;
      if (game == "dies" && calls == 3) {
        fprintf(stderr, "the third step is too much\n");
        return 7;
      }
      if (game == "hangs" && calls == 2) sleep(600);
      for (size_t i = 0; i < copies.size(); ++i) {
        Put(copies[i].steps < kSteps ? static_cast<float>(actions[i]) - 1.0f : 0.0f);
      }
      if (game == "short" && calls == 2) {
        fflush(stdout);
        return 0;
      }
      for (Copy& copy : copies) {
        if (copy.steps < kSteps) ++copy.steps;
        Put(static_cast<uint8_t>(copy.steps == kSteps ? 1 : 0));
      }
      show();
      if (game == "talks") {
        fputc('x', stdout);
        fflush(stdout);
      }
    } else {
      fprintf(stderr, "unknown call %d\n", call);
      return 2;
    }
  }
}
