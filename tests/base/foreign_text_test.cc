#include "base/foreign_text.h"

#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry {
namespace {

TEST(ForeignTextTest, WhatATerminalObeysIsShownAndNotObeyed) {
  EXPECT_EQ(Printable("plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\tline"),
            "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n\tline");
  EXPECT_EQ(Printable("\x1b[2J\x1b]0;title\x07"), "\\x1b[2J\\x1b]0;title\\x07");
  EXPECT_EQ(Printable("a\rb\x08\x7f"), "a\\x0db\\x08\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m")
      << "the 8-bit CSI as a character";
  EXPECT_EQ(Printable("\x9b"
                      "31m\xff\xc0\x80\xed\xa0\x80"),
            "\\x9b31m\\xff\\xc0\\x80\\xed\\xa0\\x80")
      << "and as a byte";
  EXPECT_EQ(Printable("\xe2\x80\xae"
                      "evil\xe2\x81\xa6"),
            "\\u202eevil\\u2066");
  EXPECT_EQ(Printable(absl::string_view("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(Printable("cut \xe2\x82"), "cut \\xe2\\x82");
}

TEST(ForeignTextTest, ShortensToWholeCharacters) {
  EXPECT_EQ(Shortened("12345", 5), "12345");
  EXPECT_EQ(Shortened("123456", 5), "12...");
  EXPECT_EQ(Shortened("1\xe2\x82\xac"
                      "23456",
                      6),
            "1...");
  EXPECT_EQ(Shortened("123456", 2), "..");
  EXPECT_EQ(Shortened("123456", 0), "");
}

TEST(ForeignTextTest, AStreamIsFilteredWhereverItsPiecesEnd) {
  const std::string text = "a\x1b[1m \xe2\x82\xac \xe2\x80\xae \xc2\x9b \xf0\x9f\x98\x80\xf0\x9f";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      std::ostringstream out;
      {
        const PrintableStream printable(out);
        out << text.substr(0, first) << std::flush << text.substr(first, second - first);
        out << text.substr(second);
      }
      EXPECT_EQ(out.str(), Printable(text)) << first << " " << second;
    }
  }
}

TEST(ForeignTextTest, WhatIsWrittenAsItIsStaysInOrder) {
  std::ostringstream out;
  {
    const PrintableStream printable(out);
    out << "\x1b one ";
    PrintableStream::WriteAsIs(out, "\x1b[2A");
    out << " two";
  }
  PrintableStream::WriteAsIs(out, "\x1b");
  EXPECT_EQ(out.str(), "\\x1b one \x1b[2A two\x1b");
}

TEST(ForeignTextTest, AStreamThatTakesNoMoreSaysSo) {
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  { const PrintableStream printable(out); }
  EXPECT_TRUE(out.bad());
}

}  // namespace
}  // namespace allometry
