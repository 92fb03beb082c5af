// What yaml-cpp leaves unsaid about the text of a file.
#pragma once

#include <string>

#include "coordinator/grid/mistakes.h"

namespace allometry::grid {

// Bytes that are no text, and tabs as indentation: from a YAML parser they give puzzling messages.
void CheckText(absl::string_view yaml, Mistakes& mistakes);

// The line on which a second document starts; 0 when the file holds one. Not YAML::LoadAll: before
// a stray character, such as a comma, yaml-cpp 0.7 finds empty documents without end.
// Throws YAML::Exception on broken YAML.
int LineOfSecondDocument(const std::string& yaml);

}  // namespace allometry::grid
