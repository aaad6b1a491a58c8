//! A plan as the table's plain data. On a GPU the maps get places of the library's own, so only what flows where counts.

use super::table::{CONVOLUTION, HEAD, Layer, Map, Model, NONE, STEM, Step, UPSAMPLE};
use crate::engine::Precision;
use crate::engine::plan::{Place, Plan, Step as PlanStep};
use crate::error::{Error, ErrorKind, Result};

/// A network without its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    precision: Precision,
    classes: i32,
    window: [i32; 3],
    maps: Vec<Map>,
    steps: Vec<Step>,
}

/// The maps while the plan is gone through: which of them a place holds at the moment.
struct Maps {
    maps: Vec<Map>,
    places: Vec<Place>,
}

impl Maps {
    /// A new map, made at this place.
    fn made(&mut self, place: Option<Place>) -> Result<i32> {
        let Some(place) = place else { return Ok(NONE) };
        let [d, h, w] = place.shape;
        self.maps.push(Map { channels: number(place.channels)?, shape: [number(d)?, number(h)?, number(w)?] });
        self.places.push(place);
        number(self.maps.len() - 1)
    }

    /// The map that was made last at this place.
    fn read(&self, place: Option<Place>) -> Result<i32> {
        let Some(place) = place else { return Ok(NONE) };
        let made = self.places.iter().rposition(|&other| other == place);
        made.map_or_else(|| Err(Error::new(ErrorKind::Panic, "a step of the plan reads what no step makes")), number)
    }
}

fn number(value: usize) -> Result<i32> {
    i32::try_from(value).map_err(|_| Error::new(ErrorKind::InvalidModel, format!("{value} channels or voxels are too many for a GPU")))
}

impl Network {
    /// The network of a plan, to be computed in this precision.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] for numbers beyond 2³¹.
    pub fn new(plan: &Plan, precision: Precision) -> Result<Network> {
        let mut maps = Maps { maps: Vec::new(), places: Vec::new() };
        let mut steps = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let (kind, input, second, output, pooled, layer) = match *step {
                PlanStep::Stem { output, pooled, layer } => (STEM, None, None, Some(output), pooled, layer),
                PlanStep::Convolution { input, second, output, pooled, layer } => {
                    (CONVOLUTION, Some(input), second, Some(output), pooled, layer)
                }
                PlanStep::Upsample { input, output, layer } => (UPSAMPLE, Some(input), None, Some(output), None, layer),
                PlanStep::Head { input, layer } => (HEAD, Some(input), None, None, None, layer),
            };
            // What is read is looked up before its place can be taken again.
            let (input, second) = (maps.read(input)?, maps.read(second)?);
            let (output, pooled) = (maps.made(output)?, maps.made(pooled)?);
            steps.push(Step { kind, input, second, output, pooled, layer: number(layer)? });
        }
        let [d, h, w] = plan.window;
        let window = [number(d)?, number(h)?, number(w)?];
        Ok(Network { precision, classes: number(plan.classes)?, window, maps: maps.maps, steps })
    }

    /// For the library, as long as `self` lives.
    pub fn model(&self) -> Model {
        Model {
            precision: self.precision as i32,
            classes: self.classes,
            window: self.window,
            maps: self.maps.as_ptr(),
            map_count: self.maps.len(),
            steps: self.steps.as_ptr(),
            step_count: self.steps.len(),
        }
    }

    /// A plan's weights for the library, as long as the plan lives.
    pub fn layers(plan: &Plan) -> Vec<Layer> {
        let layer = |layer: &crate::engine::fold::Layer| Layer {
            weight: layer.weight.as_ptr(),
            weight_count: layer.weight.len(),
            bias: layer.bias.as_ptr(),
            bias_count: layer.bias.len(),
        };
        plan.layers.iter().map(layer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::Grouping;
    use crate::model::Config;

    #[test]
    fn every_map_is_made_once_before_it_is_read_and_has_its_channels() {
        let mut config = Config::spinect(&[3, 5, 20, 33]);
        config.window.size = [16, 8, 24];
        config.window.stride = [8, 8, 8];
        let model = crate::Model::untrained(config, 1).unwrap();
        let plan = Plan::new(&model, Grouping { windows: 1, voxels: 0 }).unwrap();
        let Network { maps, steps, .. } = Network::new(&plan, Precision::F32).unwrap();
        assert_eq!(steps.len(), plan.steps.len());
        let mut made = Vec::new();
        for step in &steps {
            assert!([step.input, step.second].iter().all(|map| *map == NONE || made.contains(map)), "{step:?}");
            made.extend([step.output, step.pooled].iter().filter(|&&map| map != NONE));
            let channels = |map: i32| usize::try_from(map).map_or(0, |map| maps[map].channels);
            let (input, output, layer) =
                (channels(step.input) + channels(step.second), channels(step.output), &plan.layers[step.layer as usize]);
            match step.kind {
                STEM => assert_eq!((layer.weight.len(), layer.bias.len()), (27 * output as usize, output as usize)),
                CONVOLUTION => assert_eq!(layer.weight.len() as i32, 27 * input * output),
                UPSAMPLE => assert_eq!(layer.weight.len() as i32, 8 * input * output),
                _ => assert_eq!((step.kind, layer.weight.len() as i32), (HEAD, input * 3)),
            }
        }
        // Each once, in their order.
        assert!(made.iter().copied().eq(0..maps.len() as i32));
        // The skips go from the encoder to the decoder: the last convolution block reads the first level's.
        let last = steps.iter().rfind(|step| step.second != NONE).unwrap();
        assert_eq!((last.input, maps[last.input as usize].channels), (1, 3));
    }
}
