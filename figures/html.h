// A page of text and figures that needs nothing else: one file, no script, no request.
#pragma once

#include <string>
#include <vector>

namespace allometry::figures {

// Each may be empty. `text` is set as it stands, `svg` is one of ToSvg.
struct HtmlPart {
  std::string heading, text, svg;
};
std::string HtmlPage(const std::string& title, const std::vector<HtmlPart>& parts);

}  // namespace allometry::figures
