#pragma once

// This rank's sockets close, as where its machine dies, and the process lives on.
void StandinVanish();
