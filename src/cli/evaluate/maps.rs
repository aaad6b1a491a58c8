//! Label maps as numbers, and whether two images share a grid.

use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::geometry::{Geometry, World};
use crate::volume::{Image, with_voxel_type};

/// How far apart the same voxel of two label maps may lie, mm.
const TOLERANCE_MM: f64 = 1e-3;

/// Refuses to compare voxels that are not the same place. A difference between two affines is largest at a corner.
pub(super) fn same_grid(truth: &Geometry, prediction: &Geometry) -> Result<()> {
    if truth.dims != prediction.dims {
        let message = format!("dimensions {:?} and {:?} differ: compare on one grid", truth.dims, prediction.dims);
        return Err(Error::new(ErrorKind::InvalidGeometry, message));
    }
    let [a, b] = [truth, prediction].map(|geometry| geometry.ijk_to_world.between(geometry.world, World::Ras));
    let distance = (0..8)
        .map(|corner| {
            let index: [f64; 3] = std::array::from_fn(|axis| if corner >> axis & 1 == 1 { truth.dims[axis] as f64 - 1.0 } else { 0.0 });
            let (a, b) = (a.apply(index), b.apply(index));
            (a[0] - b[0]).hypot(a[1] - b[1]).hypot(a[2] - b[2])
        })
        .fold(0.0, f64::max);
    if distance > TOLERANCE_MM {
        let message = format!("the same voxel lies up to {distance:.4} mm apart (at most {TOLERANCE_MM} mm): compare on one grid");
        return Err(Error::new(ErrorKind::InvalidGeometry, message));
    }
    Ok(())
}

/// The voxels of a label map as label values, packed, i fastest.
pub(super) fn labels(image: &Image) -> Result<Vec<u8>> {
    let volume = image.view();
    let (geometry, rescale) = (volume.geometry(), volume.rescale());
    let mut labels = Vec::new();
    try_reserve(&mut labels, geometry.voxel_count(), "a label map")?;
    let [_, rows, slices] = geometry.dims;
    for (j, k) in (0..slices).flat_map(|k| (0..rows).map(move |j| (j, k))) {
        with_voxel_type!(volume.voxel_type(), T => for stored in volume.row::<T>(j, k).into_iter().flatten() {
            let value = crate::volume::Voxel::to_f64(stored) * rescale.slope + rescale.intercept;
            if value.fract() != 0.0 || !(0.0..=255.0).contains(&value) {
                let message = format!("a voxel holds {value}: a label map holds whole numbers from 0 to 255");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            labels.push(value as u8);
        });
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Affine;
    use crate::volume::{Rescale, VoxelType};

    fn grid(spacing: f64, shift: f64) -> Geometry {
        let ijk_to_world = Affine::from_spacing([spacing; 3], [shift, 0.0, 0.0]);
        Geometry { dims: [101, 2, 1], ijk_to_world, world: World::Ras }
    }

    #[test]
    fn grids_are_the_same_within_a_micrometer() {
        assert!(same_grid(&grid(1.0, 0.0), &grid(1.0, 0.0009)).is_ok());
        assert!(same_grid(&grid(1.0, 0.0), &grid(1.0, 0.0011)).is_err());
        // 100 voxels add up what one does not show.
        assert!(same_grid(&grid(1.0, 0.0), &grid(1.000_02, 0.0)).is_err());
        assert!(same_grid(&grid(1.0, 0.0), &Geometry { dims: [100, 2, 1], ..grid(1.0, 0.0) }).is_err());
    }

    #[test]
    fn the_same_place_in_another_world_is_the_same_grid() {
        let lps =
            Geometry { ijk_to_world: grid(1.0, 5.0).ijk_to_world.between(World::Ras, World::Lps), world: World::Lps, ..grid(1.0, 5.0) };
        assert!(same_grid(&grid(1.0, 5.0), &lps).is_ok());
    }

    #[test]
    fn label_maps_of_any_type_are_read_and_other_images_refused() {
        let geometry = Geometry { dims: [3, 1, 1], ..grid(1.0, 0.0) };
        let image = |values: [f32; 3], rescale| {
            let bytes = values.iter().flat_map(|value| value.to_ne_bytes()).collect();
            Image::new(bytes, VoxelType::Float32, geometry, rescale).unwrap()
        };
        assert_eq!(labels(&image([0.0, 2.0, 255.0], Rescale::IDENTITY)).unwrap(), [0, 2, 255]);
        assert_eq!(labels(&image([0.0, 2.0, 1.0], Rescale { slope: 0.5, intercept: 1.0 })).unwrap_err().kind(), ErrorKind::InvalidArgument);
        for wrong in [-1.0, 0.5, 256.0, f32::NAN] {
            assert!(labels(&image([0.0, wrong, 1.0], Rescale::IDENTITY)).unwrap_err().message().contains("whole numbers"));
        }
    }
}
