# Builds, installs and packs spinect. Needs GNU make, cargo and coreutils.
#
#   make install PREFIX=/usr DESTDIR=/tmp/image LIBDIR=/usr/lib/x86_64-linux-gnu
#   make build && sudo make install BUILT=target/release     where root has no cargo
#   make dist                                  a release archive, the same bytes every time
#
# `cargo cinstall` (cargo-c) installs headers, libraries, spinect.pc and the CMake package to the same places; this adds the
# program, its manual pages, the licenses and the SBOM. What it installs besides is that of the features:
FEATURES ?= cli,trainer,dicom
# A folder with libspinect.so, libspinect.a and spinect that are built already; empty: they are built.
BUILT ?=
# Which libraries: shared, static or both.
LIBRARIES ?= shared static

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib
DATADIR ?= $(PREFIX)/share
# What spinect.pc calls its prefix. An archive that is unpacked anywhere has ${pcfiledir}/../.. there.
PC_PREFIX ?= $(PREFIX)

CARGO ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
built := $(or $(BUILT),$(TARGET_DIR)/release)

# The release, and the version of the shared library: its first number is that of the ABI, and the soname's.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | sed -n 1p)
LIBRARY_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | sed -n 2p)
ABI := $(firstword $(subst ., ,$(LIBRARY_VERSION)))

comma := ,
docs := $(DATADIR)/doc/spinect
into = $(DESTDIR)$(1)

.PHONY: all build install install-shared install-static install-program sbom dist
all: build

build:
	$(CARGO) build --release --locked --features "$(FEATURES)" --target-dir "$(TARGET_DIR)"

install: $(if $(BUILT),,build) $(LIBRARIES:%=install-%) install-program
	install -d "$(call into,$(INCLUDEDIR))" "$(call into,$(LIBDIR))/pkgconfig" "$(call into,$(DATADIR))/spinect/cmake" "$(call into,$(docs))"
	install -m 644 include/spinect.h include/spinect.hpp "$(call into,$(INCLUDEDIR))"
	sed -e 's|@PREFIX@|$(PC_PREFIX)|' -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
	  -e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' -e 's|@VERSION@|$(VERSION)|' \
	  packaging/spinect.pc.in > "$(call into,$(LIBDIR))/pkgconfig/spinect.pc"
	chmod 644 "$(call into,$(LIBDIR))/pkgconfig/spinect.pc"
	install -m 644 cmake/*.cmake "$(call into,$(DATADIR))/spinect/cmake"
	install -m 644 LICENSE-MIT LICENSE-APACHE README.md CHANGELOG.md SECURITY.md "$(call into,$(docs))"
	if [ -f "$(built)/spinect.cdx.json" ]; then install -m 644 "$(built)/spinect.cdx.json" "$(call into,$(docs))"; \
	else echo "NOTE: installed without an SBOM; to have one: cargo install --locked cargo-cyclonedx, make sbom, make install" >&2; fi

install-shared: $(if $(BUILT),,build)
	install -d "$(call into,$(LIBDIR))"
	install -m 755 "$(built)/libspinect.so" "$(call into,$(LIBDIR))/libspinect.so.$(LIBRARY_VERSION)"
	ln -sfn libspinect.so.$(LIBRARY_VERSION) "$(call into,$(LIBDIR))/libspinect.so.$(ABI)"
	ln -sfn libspinect.so.$(ABI) "$(call into,$(LIBDIR))/libspinect.so"

install-static: $(if $(BUILT),,build)
	install -d "$(call into,$(LIBDIR))"
	install -m 644 "$(built)/libspinect.a" "$(call into,$(LIBDIR))"

# Only where the features have it. It writes its manual pages itself, those of the features it has.
install-program: $(if $(BUILT),,build)
ifneq ($(filter cli,$(subst $(comma), ,$(FEATURES))),)
	install -d "$(call into,$(BINDIR))" "$(call into,$(DATADIR))/man/man1"
	install -m 755 "$(built)/spinect" "$(call into,$(BINDIR))"
	"$(built)/spinect" manual --output "$(call into,$(DATADIR))/man/man1"
	chmod 644 "$(call into,$(DATADIR))"/man/man1/spinect*.1
endif

# Every crate that is compiled in, as CycloneDX. Needs `cargo install --locked cargo-cyclonedx`, and after `cargo fetch` no network.
sbom:
	@$(CARGO) cyclonedx --version >/dev/null 2>&1 || { echo "error: no cargo-cyclonedx: cargo install --locked cargo-cyclonedx" >&2; exit 1; }
	$(if $(SOURCE_DATE_EPOCH),SOURCE_DATE_EPOCH="$(SOURCE_DATE_EPOCH)") $(CARGO) cyclonedx --format json --spec-version 1.5 --features "$(FEATURES)" --no-build-deps --override-filename spinect.cdx
	install -d "$(built)"
	sed 's|path+file://$(CURDIR)|path+file:///spinect|g' spinect.cdx.json > "$(built)/spinect.cdx.json"
	rm spinect.cdx.json

# The archive's files are as old as the commit, belong to nobody and lie in the order of their names. Paths of this machine
# are taken out of what is compiled, in a target folder of its own.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
dist:
	SOURCE_DATE_EPOCH="$(SOURCE_DATE_EPOCH)" packaging/dist.sh "spinect-$(VERSION)-$(HOST)" "$(TARGET_DIR)/dist" "$(BUILT)" "$(FEATURES)"
