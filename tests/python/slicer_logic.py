"""The extension's logic and its C++ test, run with the libraries of 3D Slicer, without a build of it. Run by hand:

    python3.11 -m venv venv && venv/bin/pip install slicer-core slicer-core-sdk
    cargo build --release && ln -sf libspinect.so target/release/libspinect.so.1
    venv/bin/python tests/python/slicer_logic.py models/demonstration.safetensors VTK_HEADERS...

The headers of 3D Slicer come with slicer-core-sdk. Those of VTK must be of the very version of the wheel `vtk` that slicer-core
needs, which has none: VTK_HEADERS are the folders of its sources and of a build folder after `cmake` has configured it
(Common/*, Imaging/Core, Utilities/KWIML, Utilities/KWSys); nothing of VTK is built. The test is what 3D Slicer's own build
would run; it runs inside this Python because the libraries of the wheels need one.
"""

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import slicer  # loads the libraries
import slicer_core_sdk
import vtkmodules

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "c_examples/slicer/SlicerSpinect/Spinect"
SDK = Path(slicer_core_sdk.__file__).parent / "content"
CORE, VTK = Path(slicer.__file__).parent.parent / "slicer_core", Path(vtkmodules.__file__).parent
LIBRARIES = ["MRMLCore", "MRMLLogic", "vtkSegmentationCore", "vtkSlicerBaseLogic", "vtksys", "vtkCommonCore", "vtkCommonDataModel"]
LIBRARIES += ["vtkCommonExecutionModel", "vtkCommonMath", "vtkCommonTransforms", "vtkImagingCore"]

model, headers = Path(sys.argv[1]).resolve(), [Path(folder).resolve() for folder in sys.argv[2:]]
made = Path(tempfile.mkdtemp(prefix="spinect-logic-"))
export = '__attribute__((visibility("default")))'
(made / "vtkSlicerSpinectModuleLogicExport.h").write_text(f"#define VTK_SLICER_SPINECT_MODULE_LOGIC_EXPORT {export}\n")
(made / "run.cxx").write_text(
    f'int vtkSlicerSpinectLogicTest(int, char*[]);\nextern "C" {export} int run(int c, char** v) {{ return vtkSlicerSpinectLogicTest(c, v); }}\n'
)
third = SDK / "third_party/include"
# The wheels are made for old systems too: std::string is that of before GCC 5.
command = ["c++", "-std=c++17", "-shared", "-fPIC", "-O1", "-D_GLIBCXX_USE_CXX11_ABI=0", f"-I{ROOT / 'include'}", f"-I{MODULE / 'Logic'}", f"-I{made}"]
for folder in [SDK / "include", *headers, third, third / "vtkAddon", *third.glob("ITK-*")]:
    command += ["-isystem", str(folder)]
command += [*(MODULE / "Logic").glob("*.cxx"), *(MODULE / "Testing/Cxx").glob("*.cxx"), made / "run.cxx", "-o", made / "test.so"]
command += [f"-L{folder}" for folder in [ROOT / "target/release", CORE, VTK]] + ["-lspinect", CORE / "third_party.libs/libvtkAddon.so"]
command += [f"-l{library}" for library in LIBRARIES]
for folder in [ROOT / "target/release", CORE, CORE / "third_party.libs", VTK]:
    command += [f"-Wl,-rpath,{folder}", f"-Wl,-rpath-link,{folder}"]
subprocess.run([*command, "-Wl,--allow-shlib-undefined"], check=True)
words = [b"vtkSlicerSpinectLogicTest", str(model).encode()]
status = ctypes.CDLL(str(made / "test.so")).run(len(words), (ctypes.c_char_p * 3)(*words, None))
print("the logic's test passed" if status == 0 else "FAILED: the logic's test")
sys.exit(status)
