//! The inner loops, over a row of logits and over text. What is scalar is the definition: whatever is faster must give the
//! same bits.

use half::{bf16, f16};

pub mod escape;
pub mod scalar;

/// One row of logits, as the model made it. Widening to f32 is exact.
#[derive(Debug, Clone, Copy)]
pub enum Row<'a> {
    /// binary32
    F32(&'a [f32]),
    /// binary16
    F16(&'a [f16]),
    /// bfloat16
    Bf16(&'a [bf16]),
}

impl Row<'_> {
    /// Its width.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(row) => row.len(),
            Self::F16(row) => row.len(),
            Self::Bf16(row) => row.len(),
        }
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Append the row to `out` as f32; -0.0 becomes 0.0, so that bits order as values do.
    pub fn widen(&self, out: &mut Vec<f32>) {
        match self {
            Self::F32(row) => out.extend(row.iter().map(|x| x + 0.0)),
            Self::F16(row) => out.extend(row.iter().map(|x| x.to_f32() + 0.0)),
            Self::Bf16(row) => out.extend(row.iter().map(|x| x.to_f32() + 0.0)),
        }
    }
}

/// One row of logits to be changed in place.
#[derive(Debug)]
pub enum RowMut<'a> {
    /// binary32
    F32(&'a mut [f32]),
    /// binary16
    F16(&'a mut [f16]),
    /// bfloat16
    Bf16(&'a mut [bf16]),
}

impl RowMut<'_> {
    /// The same row, to be read.
    pub fn as_row(&self) -> Row<'_> {
        match self {
            Self::F32(row) => Row::F32(row),
            Self::F16(row) => Row::F16(row),
            Self::Bf16(row) => Row::Bf16(row),
        }
    }

    /// The largest finite number of its type.
    pub fn largest(&self) -> f32 {
        match self {
            Self::F32(_) => f32::MAX,
            Self::F16(_) => f16::MAX.to_f32(),
            Self::Bf16(_) => bf16::MAX.to_f32(),
        }
    }

    /// Write f32 values back, rounded to nearest even. `values` has the row's length.
    pub fn store(&mut self, values: &[f32]) {
        match self {
            Self::F32(row) => row.copy_from_slice(values),
            Self::F16(row) => row.iter_mut().zip(values).for_each(|(x, &v)| *x = f16::from_f32(v)),
            Self::Bf16(row) => row.iter_mut().zip(values).for_each(|(x, &v)| *x = bf16::from_f32(v)),
        }
    }
}
