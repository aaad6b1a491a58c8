/* clearance LABELS NAME ENTRY TIP RADIUS MARGIN: may a needle go from ENTRY to TIP? Points are R,A,S in mm.
 *
 *     clearance labels.seg.nrrd nerve 10,-60,120 4,-95,118 1.5 3
 *
 * The label map is a fresh one or one that a person has reviewed and edited. Ends with 0 if the needle keeps the margin, with 3 if
 * it does not or if nobody can tell, with 1 after an error, with 2 after wrong usage. segment.c says how to compile it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spinect.h"

enum { CLEAR = 0, FAILED = 1, USAGE = 2, NOT_CLEAR = 3 };

static int complain(const char *step) {
  char message[1024];
  spinect_last_error(message, sizeof message);
  fprintf(stderr, "error: %s: %s\n", step, message);
  return FAILED;
}

/* Three numbers with commas between them; 0 if the text is none. */
static int read_point(const char *text, double point[3]) {
  char rest;
  return sscanf(text, "%lf,%lf,%lf%c", &point[0], &point[1], &point[2], &rest) == 3;
}

static int read_number(const char *text, double *number) {
  char rest;
  return sscanf(text, "%lf%c", number, &rest) == 1;
}

/* The value of the label with this name, or -1. */
static int32_t find_label(const spinect_segmentation *labels, const char *name) {
  for (size_t i = 0; i < spinect_segmentation_label_count(labels); i++) {
    spinect_label label = {.struct_size = sizeof label};
    if (spinect_segmentation_label(labels, i, &label) == SPINECT_OK && strcmp(label.name, name) == 0) return label.value;
  }
  return -1;
}

/* The questions. From here on a navigation loop can ask as often as it likes: no lock, no allocation, no system call. */
static int ask(const spinect_segmentation *labels, int32_t label, const spinect_tool *needle, double margin) {
  spinect_clearance clearance = {.struct_size = sizeof clearance};
  spinect_corridor corridor = {.struct_size = sizeof corridor};
  if (spinect_segmentation_clearance(labels, label, SPINECT_WORLD_RAS, needle->from, needle->to, needle->radius_mm, &clearance) != SPINECT_OK)
    return complain("asking for the clearance");
  if (spinect_segmentation_corridor(labels, label, SPINECT_WORLD_RAS, needle, margin, &corridor) != SPINECT_OK)
    return complain("asking for the corridor");
  printf("clearance %.2f mm at (%.1f, %.1f, %.1f)%s\n", clearance.distance_mm, clearance.at[0], clearance.at[1], clearance.at[2],
         clearance.crosses ? ": the needle's axis passes through the structure" : "");
  if (corridor.violated) printf("too near after %.1f mm, at (%.1f, %.1f, %.1f)\n", corridor.along_mm, corridor.at[0], corridor.at[1], corridor.at[2]);
  /* What was not examined is not clear. */
  if (corridor.unexamined_mm < margin) printf("space that nobody has examined comes within %.2f mm\n", corridor.unexamined_mm);
  return corridor.violated || corridor.unexamined_mm < margin ? NOT_CLEAR : CLEAR;
}

int main(int argc, char **argv) {
  spinect_tool needle = {.struct_size = sizeof needle};
  double margin = 0;
  if (argc != 7 || !read_point(argv[3], needle.from) || !read_point(argv[4], needle.to) || !read_number(argv[5], &needle.radius_mm) ||
      !read_number(argv[6], &margin)) {
    fprintf(stderr, "usage: %s LABELS NAME ENTRY TIP RADIUS MARGIN (points as R,A,S; all in mm)\n", argv[0]);
    return USAGE;
  }
  spinect_segmentation *labels = NULL;
  int outcome = FAILED;
  int32_t label;
  if (spinect_segmentation_read(argv[1], &labels) != SPINECT_OK) complain("reading the label map");
  else if ((label = find_label(labels, argv[2])) < 0) fprintf(stderr, "error: %s has no label \"%s\"\n", argv[1], argv[2]);
  else if (spinect_segmentation_prepare_queries(labels, label) != SPINECT_OK) complain("preparing the questions");
  else outcome = ask(labels, label, &needle, margin);
  spinect_segmentation_free(labels);
  return outcome;
}
