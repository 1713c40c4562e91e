//! Tables of embeddings with the rows that integers stand for.

use qobserve::QConfig;
use qops::quantized::EmbeddingTable;
use qtensor_core::Tensor;

use crate::error::Result;
use crate::float;
use crate::float::embedding::Bags;
use crate::module::{Module, Node};
use crate::quantized;
use crate::state::State;
use crate::value::Value;

/// All rows of a table, in float.
fn rows(table: &EmbeddingTable) -> Result<Tensor> {
    let indices: Vec<i64> = (0..table.shape()[0] as i64).collect();
    let indices = Tensor::from_vec(indices, &[table.shape()[0]])?;
    Ok(table.lookup(&indices)?)
}

macro_rules! table {
    ($(#[$doc:meta])* $module:ident, $kind:literal, $input:ty, |$rows:ident, $int8:ident| $float:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $module {
            int8: quantized::$module,
            float: float::$module,
        }

        impl $module {
            const KIND: &'static str = $kind;

            /// The counterpart of a float table.
            ///
            /// # Errors
            /// Those of the int8 module.
            pub fn from_float(table: &float::$module, qconfig: &QConfig) -> Result<$module> {
                $module::from_quantized(quantized::$module::from_float(table, qconfig)?)
            }

            /// Restores a table that [`state`](Node::state) and [`config`](Node::config) described together.
            ///
            /// # Errors
            /// A missing entry, one of another type, or lengths that contradict each other.
            pub fn from_state(state: &mut State) -> Result<$module> {
                $module::from_quantized(quantized::$module::from_state(state)?)
            }

            /// The counterpart of an int8 table.
            ///
            /// # Errors
            /// None for a sound table.
            pub fn from_quantized($int8: quantized::$module) -> Result<$module> {
                let $rows = rows($int8.table())?;
                Ok($module { float: $float?, int8: $int8 })
            }

            /// The integers and their scales.
            #[doc(alias = "get_quantized_weight")]
            pub fn table(&self) -> &EmbeddingTable {
                self.int8.table()
            }

            /// The float table that computes, of the rows that the integers stand for.
            #[doc(alias = "get_weight")]
            pub fn float(&self) -> &float::$module {
                &self.float
            }

            /// The int8 table.
            pub(crate) fn int8(&self) -> &quantized::$module {
                &self.int8
            }
        }

        impl Node for $module {
            fn kind(&self) -> &'static str {
                Self::KIND
            }

            fn extra_repr(&self) -> String {
                self.int8.extra_repr()
            }

            fn state(&self) -> State {
                self.int8.state()
            }

            fn config(&self) -> State {
                self.int8.config()
            }
        }

        impl Module for $module {
            type Input = $input;
            type Output = Value;

            fn forward(&self, input: &$input) -> Result<Value> {
                self.float.forward(input)
            }
        }
    };
}
table! {
    /// Rows by index, in float, of a table of 8-bit or 4-bit integers: see [`float::Embedding`].
    Embedding, "ReferenceEmbedding", Tensor<i64>, |rows, int8| float::Embedding::from_weight(rows)
}
table! {
    /// A row for each bag of indices, computed in float from a table of 8-bit or 4-bit integers: see [`float::EmbeddingBag`].
    EmbeddingBag, "ReferenceEmbeddingBag", Bags,
    |rows, int8| float::EmbeddingBag::from_weight(rows, int8.mode())
}
