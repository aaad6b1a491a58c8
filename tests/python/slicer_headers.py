"""The extension's C++ against the headers of 3D Slicer, without a build of it: every file compiles, nothing is linked. Run by hand:

    apt-get install libvtk9-dev            # VTK's headers; qtbase5-dev for the panel
    python3 -m venv venv && venv/bin/pip install slicer-core-sdk
    venv/bin/python tests/python/slicer_headers.py [--panel HEADERS]

The logic and its test take the headers of PyPI's slicer-core-sdk (3D Slicer without Qt). VTK's are of another version than 3D
Slicer's, so what compiles here must not be linked. With --panel, the panel compiles too: HEADERS is a folder with the headers of 3D
Slicer's Base/QTCore, Base/QTGUI, Libs/MRML/Widgets and of CTK's Libs, all in one; what a build of them generates (export macros) is
made here.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import slicer_core_sdk

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "c_examples/slicer/SlicerSpinect/Spinect"
SDK = Path(slicer_core_sdk.__file__).parent / "content"
EXPORTS = {
    "vtkSlicerSpinectModuleLogicExport.h": "VTK_SLICER_SPINECT_MODULE_LOGIC_EXPORT",
    "qSlicerSpinectModuleExport.h": "Q_SLICER_QTMODULES_SPINECT_EXPORT",
    "qSlicerBaseQTCoreExport.h": "Q_SLICER_BASE_QTCORE_EXPORT",
    "qSlicerBaseQTGUIExport.h": "Q_SLICER_BASE_QTGUI_EXPORT",
    "qMRMLWidgetsExport.h": "QMRML_WIDGETS_EXPORT",
    "ctkCoreExport.h": "CTK_CORE_EXPORT",
    "ctkWidgetsExport.h": "CTK_WIDGETS_EXPORT",
    "ctkVisualizationVTKCoreExport.h": "CTK_VISUALIZATION_VTK_CORE_EXPORT",
}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--panel", type=Path)
parser.add_argument("--compiler", default="c++")
arguments = parser.parse_args()
vtk = sorted(Path("/usr/include").glob("vtk-9*"))
if not vtk:
    sys.exit("no VTK headers in /usr/include: apt-get install libvtk9-dev")
made = Path(tempfile.mkdtemp(prefix="spinect-headers-"))
(made / "vtkABINamespace.h").write_text("#define VTK_ABI_NAMESPACE_BEGIN\n#define VTK_ABI_NAMESPACE_END\n")  # VTK 9.1 has none
for header, macro in EXPORTS.items():
    (made / header).write_text(f"#define {macro}\n")
options = ["-std=c++17", "-fsyntax-only", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", f"-I{ROOT / 'include'}", f"-I{MODULE / 'Logic'}"]
third = SDK / "third_party/include"
for folder in [made, SDK / "include", vtk[-1], third, third / "vtkAddon", *third.glob("ITK-*")]:
    options += ["-isystem", str(folder)]


def compiles(files, more=()):
    for file in files:
        result = subprocess.run([arguments.compiler, *options, *more, file], capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"FAILED: {file.relative_to(ROOT)}\n{result.stderr}")
        print(f"compiles: {file.relative_to(ROOT)}")


compiles([*sorted((MODULE / "Logic").glob("*.cxx")), *sorted((MODULE / "Testing/Cxx").glob("*.cxx"))])
if arguments.panel:
    qt = next(Path("/usr/include").glob("*/qt5"), None) or sys.exit("no Qt headers: apt-get install qtbase5-dev")
    tools = Path(shutil.which("uic") or "/usr/lib/qt5/bin/uic").parent
    name = "qSlicerSpinectModuleWidget"
    subprocess.run([tools / "uic", MODULE / f"Resources/UI/{name}.ui", "-o", made / f"ui_{name}.h"], check=True)
    more = ["-isystem", str(arguments.panel.resolve()), "-isystem", str(qt)]
    for part in ["QtCore", "QtGui", "QtWidgets", "QtXml"]:
        more += ["-isystem", str(qt / part)]
    compiles(sorted(MODULE.glob("*.cxx")), more)
    for header in sorted(MODULE.glob("*.h")):
        subprocess.run([tools / "moc", f"-I{made}", f"-I{arguments.panel.resolve()}", header, "-o", made / "moc.cpp"], check=True)
        print(f"moc takes: {header.relative_to(ROOT)}")
