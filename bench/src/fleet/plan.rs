//! The floor plan as a TOML file for the seed binary.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;

use crate::world::{Door, FloorPlan};

/// The space of the markers, and the DPU that sends them.
pub(crate) const MARKER_SPACE: &str = "Fleet markers";
pub(crate) const MARKER_SERIAL: &str = "F-marker";
/// A DPU without an assignment, whose events may be sent at any time.
const SPARE_SERIAL: &str = "F-spare";

/// Writes the floor plan.
pub(crate) fn write(plan: &FloorPlan, path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(cannot)?);
    let mut all = || -> std::io::Result<()> {
        writeln!(out, "[[space]]\nname = \"{MARKER_SPACE}\"\n")?;
        for space in 0..plan.spaces {
            writeln!(out, "[[space]]\nname = \"{}\"\n", FloorPlan::space_name(space))?;
        }
        for serial in [MARKER_SERIAL, SPARE_SERIAL] {
            writeln!(out, "[[dpu]]\nserial = \"{serial}\"\n")?;
        }
        for dpu in 0..plan.dpus {
            let keys = plan.kinds.of(dpu).keys();
            writeln!(out, "[[dpu]]\nserial = \"{}\"\n{keys}", FloorPlan::serial(dpu))?;
        }
        assignment(&mut out, MARKER_SERIAL, MARKER_SPACE, "inside", "")?;
        for dpu in 0..plan.dpus {
            let (serial, Door { inside, outside, moved_inside }) = (FloorPlan::serial(dpu), plan.door(dpu));
            let bound =
                |key| moved_inside.map_or(String::new(), |_| format!("{key} = \"{}\"\n", plan.moved_at));
            assignment(&mut out, &serial, &FloorPlan::space_name(inside), "inside", &bound("ends_at"))?;
            if let Some(space) = moved_inside {
                assignment(&mut out, &serial, &FloorPlan::space_name(space), "inside", &bound("starts_at"))?;
            }
            if let Some(space) = outside {
                assignment(&mut out, &serial, &FloorPlan::space_name(space), "outside", "")?;
            }
        }
        out.flush()
    };
    all().with_context(cannot)
}

fn assignment(
    out: &mut impl Write,
    serial: &str,
    space: &str,
    placement: &str,
    bound: &str,
) -> std::io::Result<()> {
    writeln!(
        out,
        "[[assignment]]\ndpu = \"{serial}\"\nspace = \"{space}\"\nplacement = \"{placement}\"\n{bound}"
    )
}
