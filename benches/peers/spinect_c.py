"""spinect through its C ABI, by ctypes: what a program in any language would call. Structures as in include/spinect.h."""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

import numpy as np

VOXEL_INT16, WORLD_RAS, WORLD_LPS, MEMORY_HOST, DEVICE_CPU, PRECISION_F32 = 3, 1, 2, 0, 1, 0
RUN_ALL_WINDOWS = 2


class Volume(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("voxel_type", c_int32), ("voxels", c_void_p), ("dims", c_uint64 * 3),
                ("strides", c_int64 * 3), ("ijk_to_world", c_double * 16), ("world", c_int32), ("memory", c_int32),
                ("rescale_slope", c_double), ("rescale_intercept", c_double)]


class SessionConfig(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("device", c_int32), ("device_index", c_int32), ("precision", c_int32),
                ("threads", c_uint32), ("reserved", c_uint32), ("memory_limit", c_uint64), ("cpus", c_void_p),
                ("cpu_count", c_uint64)]


class Run(ctypes.Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("cancel", c_void_p), ("progress", c_void_p),
                ("user_data", c_void_p), ("roi_min", c_double * 3), ("roi_max", c_double * 3),
                ("deadline_seconds", c_double), ("warnings", c_void_p)]


def sized(structure, **fields):
    return structure(struct_size=ctypes.sizeof(structure), **fields)


class Session:
    """One model on the CPU."""

    def __init__(self, library, model, threads):
        self.library = library = ctypes.CDLL(str(library))
        status = c_int32
        for name, result, arguments in [
            ("last_error", c_size_t, [c_char_p, c_size_t]),
            ("version", c_char_p, []),
            ("session_create", status, [POINTER(SessionConfig), POINTER(c_void_p)]),
            ("session_free", None, [c_void_p]),
            ("session_load_weights", status, [c_void_p, c_char_p]),
            ("session_prepare", status, [c_void_p, POINTER(Volume)]),
            ("session_segment", status, [c_void_p, POINTER(Volume), POINTER(Run), POINTER(c_void_p)]),
            ("session_segment_into", status, [c_void_p, POINTER(Volume), POINTER(Run), POINTER(c_uint8), c_size_t]),
            ("segmentation_copy_confidence", status, [c_void_p, POINTER(c_float), c_size_t]),
            ("segmentation_free", None, [c_void_p]),
        ]:
            function = getattr(library, f"spinect_{name}")
            function.restype, function.argtypes = result, arguments
        self.version = library.spinect_version().decode()
        self.handle = c_void_p()
        config = sized(SessionConfig, device=DEVICE_CPU, precision=PRECISION_F32, threads=threads)
        self.check(library.spinect_session_create(byref(config), byref(self.handle)))
        self.check(library.spinect_session_load_weights(self.handle, str(model).encode()))
        self.run = sized(Run, flags=RUN_ALL_WINDOWS)

    def check(self, status):
        if status != 0:
            message = ctypes.create_string_buffer(1024)
            self.library.spinect_last_error(message, len(message))
            raise RuntimeError(f"spinect: status {status}: {message.value.decode()}")

    def prepare(self, hounsfield, world=WORLD_LPS):
        """`hounsfield` is int16 at 1 mm, its indices [k, j, i] being millimeters of `world`: in LPS the model's own grid."""
        depth, height, width = hounsfield.shape
        self.hounsfield = np.ascontiguousarray(hounsfield, dtype=np.int16)
        self.labels = np.empty(hounsfield.shape, np.uint8)
        identity = (c_double * 16)(*np.eye(4).ravel())
        self.volume = sized(Volume, voxel_type=VOXEL_INT16, voxels=self.hounsfield.ctypes.data, ijk_to_world=identity,
                            dims=(c_uint64 * 3)(width, height, depth), world=world, memory=MEMORY_HOST)
        self.check(self.library.spinect_session_prepare(self.handle, byref(self.volume)))

    def segment_into(self):
        """Labels of the prepared volume, in memory taken beforehand: what is timed."""
        pointer = self.labels.ctypes.data_as(POINTER(c_uint8))
        self.check(self.library.spinect_session_segment_into(
            self.handle, byref(self.volume), byref(self.run), pointer, self.labels.size))
        return self.labels

    def confidence(self):
        """The winning channel's mean probability of every voxel."""
        segmentation, confidence = c_void_p(), np.empty(self.labels.shape, np.float32)
        self.check(self.library.spinect_session_segment(
            self.handle, byref(self.volume), byref(self.run), byref(segmentation)))
        try:
            pointer = confidence.ctypes.data_as(POINTER(c_float))
            self.check(self.library.spinect_segmentation_copy_confidence(segmentation, pointer, confidence.size))
        finally:
            self.library.spinect_segmentation_free(segmentation)
        return confidence

    def close(self):
        self.library.spinect_session_free(self.handle)
