#include "figures/html.h"

#include "absl/strings/str_cat.h"

namespace allometry::figures {
namespace {

std::string Escaped(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  }
  return out;
}

}  // namespace

std::string HtmlPage(const std::string& title, const std::vector<HtmlPart>& parts) {
  std::string page = absl::StrCat(
      "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\n"
      "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n<meta name='viewport' content='width=device-width'>\n<title>",
      Escaped(title),
      "</title>\n<style>body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:1.5em "
      "auto;padding:0 1em;background:#fff;color:#000}pre{font-size:13px;line-height:1.35;"
      "overflow-x:auto}svg{max-width:100%;height:auto}</style></head>\n<body>\n<h1>",
      Escaped(title), "</h1>\n");
  for (const HtmlPart& part : parts) {
    if (!part.heading.empty()) absl::StrAppend(&page, "<h2>", Escaped(part.heading), "</h2>\n");
    if (!part.text.empty()) absl::StrAppend(&page, "<pre>", Escaped(part.text), "</pre>\n");
    page += part.svg;
  }
  return page + "</body></html>\n";
}

}  // namespace allometry::figures
