#include "models/shape.h"
