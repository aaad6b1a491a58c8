/// The command line as 3D Slicer writes it: `--flag value` or `--flag=value`, then the input and the output.
#ifndef SPINECT_SLICER_ARGUMENTS_HPP
#define SPINECT_SLICER_ARGUMENTS_HPP

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "spinect.hpp"

/// Wrong usage: exit status 2.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What one run is asked to do. Points and regions are in RAS.
struct arguments {
  bool xml = false;
  bool help = false;
  std::string input;
  std::string output;
  std::string model;
  std::optional<spinect::region> region;
  std::vector<spinect::point> points;
  std::string structure = "nerve";
  spinect::device device = spinect::device::automatic;
  std::uint32_t threads = 0;
  std::string return_file; ///< Where 3D Slicer reads the output parameters; empty: nowhere.
};

/// Finite numbers separated by commas.
inline std::vector<double> numbers(const std::string& flag, const std::string& text) {
  std::vector<double> result;
  for (const char* rest = text.c_str();; ++rest) {
    char* end = nullptr;
    const double number = std::strtod(rest, &end);
    if (end == rest || !std::isfinite(number) || (*end != ',' && *end != '\0')) {
      throw usage_error(flag + " takes numbers separated by commas, not '" + text + "'");
    }
    result.push_back(number);
    rest = end;
    if (*rest == '\0') {
      return result;
    }
  }
}

/// A box: its center and half its size along its axes, and, if it is rotated, the rotation, row by row. What comes back is
/// the smallest box along the axes of the world around it.
inline spinect::region box(const std::string& flag, const std::string& text) {
  const std::vector<double> given = numbers(flag, text);
  if (given.size() != 6 && given.size() != 15) {
    throw usage_error(flag + " takes the center and the half size of a box (6 numbers), and its rotation (9 more), not '" + text + "'");
  }
  spinect::region result;
  for (std::size_t row = 0; row < 3; ++row) {
    double half = given[3 + row];
    if (given.size() == 15) {
      half = 0;
      for (std::size_t axis = 0; axis < 3; ++axis) {
        half += std::abs(given[6 + 3 * row + axis]) * given[3 + axis];
      }
    }
    if (!(half > 0)) {
      throw usage_error(flag + ": the box is empty");
    }
    result.min[row] = given[row] - half;
    result.max[row] = given[row] + half;
  }
  return result;
}

inline spinect::device device(const std::string& text) {
  if (text == "auto") return spinect::device::automatic;
  if (text == "cpu") return spinect::device::cpu;
  if (text == "cuda") return spinect::device::cuda;
  throw usage_error("--device is auto, cpu or cuda, not '" + text + "'");
}

inline std::uint32_t threads(const std::string& text) {
  const bool digits = !text.empty() && text.size() <= 4 && text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoul(text) > 1024) {
    throw usage_error("--threads takes a whole number from 0 to 1024, not '" + text + "'");
  }
  return static_cast<std::uint32_t>(std::stoul(text));
}

/// Reads a command line, without the program's name.
inline arguments parse(const std::vector<std::string>& words) {
  arguments result;
  std::vector<std::string> files;
  for (std::size_t n = 0; n < words.size(); ++n) {
    std::string flag = words[n];
    if (flag.compare(0, 2, "--") != 0) {
      files.push_back(flag);
      continue;
    }
    if (flag == "--xml") {
      result.xml = true;
      continue;
    }
    if (flag == "--help") {
      result.help = true;
      continue;
    }
    std::string value;
    const std::size_t equals = flag.find('=');
    if (equals != std::string::npos) {
      value = flag.substr(equals + 1);
      flag.resize(equals);
    } else if (n + 1 < words.size()) {
      value = words[++n];
    } else {
      throw usage_error(flag + " needs a value");
    }
    if (flag == "--model") {
      result.model = value;
    } else if (flag == "--region") {
      result.region = box(flag, value);
    } else if (flag == "--point") {
      const std::vector<double> given = numbers(flag, value);
      if (given.size() != 3) {
        throw usage_error("--point takes three numbers, not '" + value + "'");
      }
      result.points.push_back({given[0], given[1], given[2]});
    } else if (flag == "--structure") {
      result.structure = value;
    } else if (flag == "--device") {
      result.device = device(value);
    } else if (flag == "--threads") {
      result.threads = threads(value);
    } else if (flag == "--returnparameterfile") {
      result.return_file = value;
    } else {
      throw usage_error("unknown option '" + flag + "'");
    }
  }
  if (result.xml || result.help) {
    return result;
  }
  if (files.size() != 2) {
    throw usage_error("an input and an output are needed");
  }
  if (result.model.empty()) {
    throw usage_error("no model: --model names a .safetensors file");
  }
  result.input = files[0];
  result.output = files[1];
  return result;
}

#endif
