/// A result's warnings in words, for the command line module and for the loadable one.
#ifndef SPINECT_SLICER_WARNINGS_HPP
#define SPINECT_SLICER_WARNINGS_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "spinect.h"

/// A warning: its name in reports, and what it means.
struct spinect_warning_text {
  std::uint64_t bit;
  const char* name;
  const char* text;
};

inline constexpr spinect_warning_text spinect_warning_texts[] = {
    {SPINECT_WARNING_MODEL_NOT_CLINICAL, "model_not_clinical", "the model is a demonstration or untrained: this means NOTHING for a patient"},
    {SPINECT_WARNING_STRUCTURE_CUT, "structure_cut", "a structure touches the border of the field of view or of the region"},
    {SPINECT_WARNING_STRUCTURE_ABSENT, "structure_absent", "a structure that the model knows was not found"},
    {SPINECT_WARNING_SPACING, "spacing", "the spacing is outside what the model was trained for"},
    {SPINECT_WARNING_INTENSITY, "intensity", "metal, truncation, or not Hounsfield units"},
    {SPINECT_WARNING_LOW_CONFIDENCE, "low_confidence", "the confidence is low"},
    {SPINECT_WARNING_FRAGMENTED, "fragmented", "a structure is in more pieces than it has"},
    {SPINECT_WARNING_SHEARED, "sheared", "the volume is sheared (gantry tilt)"},
};

/// The warnings of these bits; one for all bits that a later library may set.
inline std::vector<spinect_warning_text> spinect_warnings(std::uint64_t bits) {
  std::vector<spinect_warning_text> result;
  for (const spinect_warning_text& warning : spinect_warning_texts) {
    if ((bits & warning.bit) != 0) {
      result.push_back(warning);
      bits &= ~warning.bit;
    }
  }
  if (bits != 0) {
    result.push_back({bits, "unknown", "the library warns of what this program has no words for"});
  }
  return result;
}

/// Their names, separated by spaces.
inline std::string spinect_warning_names(std::uint64_t bits) {
  std::string names;
  for (const spinect_warning_text& warning : spinect_warnings(bits)) {
    names += (names.empty() ? "" : " ") + std::string(warning.name);
  }
  return names;
}

#endif
