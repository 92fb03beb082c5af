#include "figures/drawing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace allometry::figures {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(BoxOfTest, IsOnTheSideOfItsAnchorAndTurnsWithTheText) {
  const Text start{.at = {100, 50}, .text = "loss"};
  Text end = start, middle = start, up = start;
  end.anchor = Anchor::kEnd, middle.anchor = Anchor::kMiddle, up.upwards = true;
  EXPECT_DOUBLE_EQ(BoxOf(start).left, 100);
  EXPECT_DOUBLE_EQ(BoxOf(end).right, 100);
  EXPECT_DOUBLE_EQ(BoxOf(middle).left + BoxOf(middle).right, 200);
  EXPECT_DOUBLE_EQ(BoxOf(up).bottom, 50);
  EXPECT_NEAR(BoxOf(up).bottom - BoxOf(up).top, BoxOf(start).right - BoxOf(start).left, 1e-9);
  EXPECT_LT(BoxOf(start).top, 50);
  EXPECT_GT(BoxOf(start).bottom, 50);
}

// Helvetica's own widths: "loss" is 222 + 556 + 500 + 500 thousandths.
TEST(WidthTest, KnowsHelveticaAndLeavesRoomForWiderFonts) {
  EXPECT_NEAR(HelveticaWidthOf("loss", 10), 17.78, 1e-9);
  for (const char* text : {"loss", "10", "WWW", "illicit", "N* (1.5k to 3k)"}) {
    for (const bool bold : {false, true}) {
      EXPECT_GE(WidthOf(text, 10, bold), HelveticaWidthOf(text, 10, bold)) << text;
    }
  }
}

TEST(ShownTest, KeepsLatin1AndReplacesTheRest) {
  EXPECT_EQ(Shown("a\u00e9\u00d7"), "a\u00e9\u00d7");
  EXPECT_EQ(Shown("\u4e2d\u03b1"), "??");
  EXPECT_EQ(Shown(std::string("a\0b\x1b\n", 5)), "a?b? ");
  EXPECT_EQ(Shown("\xff\xc3"), "??");
  EXPECT_EQ(Shown("\xe9t"), "?t");
}

TEST(WrappedTest, KeepsEveryLineWithinTheWidth) {
  const std::string word(300, 'x');
  const std::string text = "the curves do not cross " + word + " where larger models were seen";
  std::string joined;
  for (const std::string& line : Wrapped(text, 10, 120)) {
    EXPECT_LE(WidthOf(line, 10), 120) << line;
    for (const char c : line) {
      if (c != ' ') joined += c;
    }
  }
  std::string all;
  for (const char c : text) {
    if (c != ' ') all += c;
  }
  EXPECT_EQ(joined, all);
}

TEST(DrawingTest, ALabelIsLeftOutWhereItMeetsTextOrLeavesItsPanel) {
  Drawing drawing(200, 100);
  const Box inside{0, 0, 200, 100};
  EXPECT_TRUE(drawing.Label(Text{.at = {50, 50}, .text = "42k"}, inside));
  EXPECT_FALSE(drawing.Label(Text{.at = {55, 52}, .text = "43k"}, inside));
  EXPECT_TRUE(drawing.Label(Text{.at = {50, 70}, .text = "43k"}, inside));
  EXPECT_FALSE(drawing.Label(Text{.at = {190, 50}, .text = "44k"}, inside));
  EXPECT_EQ(drawing.text_boxes().size(), 2u);
}

TEST(SvgTest, EscapesWhatMarkupWouldRead) {
  Drawing drawing(100, 100);
  drawing.Add(Text{.at = {10, 10}, .text = "</text><script>alert('&')"});
  const std::string svg = ToSvg(drawing);
  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, HasSubstr("&lt;/text&gt;&lt;script&gt;alert(&#39;&amp;&#39;)"));
}

TEST(PdfTest, CrossReferencesPointAtTheirObjects) {
  Drawing drawing(100, 80);
  drawing.Add(Line{{{1, 1}, {50, 50}}, {213, 94, 0}, 1.5, 3});
  drawing.Add(Area{{{1, 1}, {9, 1}, {9, 9}}, {0, 114, 178}, 0.16});
  drawing.Add(Dots{{{5, 5}}, kBlack, 2, 0.5});
  drawing.Add(Text{.at = {10, 10}, .text = "a (b) \\ \u00d7", .raised = "9"});
  const std::string pdf = ToPdf(drawing);
  EXPECT_EQ(pdf.rfind("%PDF-1.4\n", 0), 0u);
  const size_t start = pdf.rfind("startxref\n");
  ASSERT_NE(start, std::string::npos);
  int64_t table = 0;
  ASSERT_TRUE(
      absl::SimpleAtoi(pdf.substr(start + 10, pdf.find('\n', start + 10) - start - 10), &table));
  ASSERT_EQ(pdf.substr(table, 9), "xref\n0 7\n");
  for (int object = 1; object <= 6; ++object) {
    // Every entry has 20 bytes.
    int64_t at = 0;
    ASSERT_TRUE(absl::SimpleAtoi(pdf.substr(table + 9 + 20 * object, 10), &at));
    EXPECT_EQ(pdf.substr(at, 7), absl::StrCat(object, " 0 obj"));
  }
  EXPECT_THAT(pdf, HasSubstr("(a \\(b\\) \\\\ \\327) Tj"));
  EXPECT_THAT(pdf, HasSubstr("/G16 << /ca 0.16 /CA 0.16 >>"));
}

}  // namespace
}  // namespace allometry::figures
