//! The table: what the innermost loop of every kernel must hold.
//!
//! A new kernel gets a row. One without a row is reported, and so is a row that matches no function.

use std::ops::RangeInclusive;

use super::asm::Register;
use super::loops::Dot;

/// What is asked of the functions that a pattern names.
pub struct Kernel {
    /// The demangled name without the crate; `*` stands for any text, `#` for the height of the tile.
    pub pattern: &'static str,
    /// The heights for which there is a function.
    pub heights: RangeInclusive<usize>,
    /// The instruction that does the work.
    pub dot: Dot,
    /// How many of them the greatest loop holds at least for each row: one step of the tile. Any number of
    /// smaller loops (remainders, lower tiles) may stand beside it.
    pub per_row: usize,
    /// Why an accumulator on the stack is accepted, if it is.
    pub excuse: Option<&'static str>,
}

impl Kernel {
    /// The pattern for one height.
    pub fn pattern(&self, height: usize) -> String {
        self.pattern.replace('#', &height.to_string())
    }
}

const TDPBUSD: Dot = Dot {
    mnemonic: "tdpbusd",
    register: Register::Tmm,
};
const VPDPBUSD_ZMM: Dot = Dot {
    mnemonic: "vpdpbusd",
    register: Register::Zmm,
};
const VPDPBUSD_YMM: Dot = Dot {
    mnemonic: "vpdpbusd",
    register: Register::Ymm,
};
const VPMADDUBSW_YMM: Dot = Dot {
    mnemonic: "vpmaddubsw",
    register: Register::Ymm,
};
const VPMADDWD_YMM: Dot = Dot {
    mnemonic: "vpmaddwd",
    register: Register::Ymm,
};
const VPMULLW_YMM: Dot = Dot {
    mnemonic: "vpmullw",
    register: Register::Ymm,
};
const VPMULLW_XMM: Dot = Dot {
    mnemonic: "vpmullw",
    register: Register::Xmm,
};
const PMULLW_XMM: Dot = Dot {
    mnemonic: "pmullw",
    register: Register::Xmm,
};
const PMADDWD_XMM: Dot = Dot {
    mnemonic: "pmaddwd",
    register: Register::Xmm,
};

const fn kernel(
    pattern: &'static str,
    heights: RangeInclusive<usize>,
    dot: Dot,
    per_row: usize,
) -> Kernel {
    Kernel {
        pattern,
        heights,
        dot,
        per_row,
        excuse: None,
    }
}

/// Why a walk along a row of a 5×5 kernel puts a sum aside.
const ONE: &str = "a result waits for its neighbours before they are packed";
/// Why a walk along a row with sixteen registers does.
const MANY: &str = "sixteen registers do not hold the weights, a column and all sums";

/// Functions that hold dot products and are not kernels.
pub const NOT_KERNELS: &[&str] = &[
    "reference::*",
    "isa::amx::peak",
    "isa::peak::*",
    "<isa::Isa>::measure_peak",
    // Compiled, but no tier with vectors of 128 bits takes sixteen channels.
    "isa::scalar::vectorize::<*depthwise::lines::Group<16, *>>",
];

/// Every kernel.
pub const KERNELS: &[Kernel] = &[
    // AMX: two tiles by two panels, at once and in parts.
    kernel("<isa::amx::Tiles>::multiply", 2..=2, TDPBUSD, 2),
    kernel("isa::amx::results::bytes_of::<false>", 2..=2, TDPBUSD, 2),
    kernel("isa::amx::results::bytes_of::<true>", 2..=2, TDPBUSD, 2),
    kernel(
        "isa::amx::added::rows_of::<false, false, false>",
        2..=2,
        TDPBUSD,
        2,
    ),
    kernel(
        "isa::amx::added::rows_of::<true, false, false>",
        2..=2,
        TDPBUSD,
        2,
    ),
    kernel(
        "isa::amx::added::rows_of::<true, false, true>",
        2..=2,
        TDPBUSD,
        2,
    ),
    kernel(
        "isa::amx::added::rows_of::<true, true, false>",
        2..=2,
        TDPBUSD,
        2,
    ),
    kernel(
        "isa::amx::added::rows_of::<true, true, true>",
        2..=2,
        TDPBUSD,
        2,
    ),
    kernel("isa::amx::floats::rows", 2..=2, TDPBUSD, 2),
    kernel("<isa::amx::product::Product>::finish", 2..=2, TDPBUSD, 2),
    // AVX-512 VNNI, one product for each row and panel. The lower tiles stand in one function, whose
    // greatest loop is that of eight rows.
    kernel("isa::avx512vnni::by_height::<1>", 8..=8, VPDPBUSD_ZMM, 1),
    kernel("isa::avx512vnni::by_height::<2>", 8..=8, VPDPBUSD_ZMM, 2),
    kernel("isa::avx512vnni::by_height::<3>", 8..=8, VPDPBUSD_ZMM, 3),
    kernel("isa::avx512vnni::multiply::<#, 4>", 1..=6, VPDPBUSD_ZMM, 4),
    // AVX-VNNI, two products for each row and panel.
    kernel("isa::avxvnni::multiply::<#, 1>", 1..=6, VPDPBUSD_YMM, 2),
    kernel("isa::avxvnni::multiply::<#, 2>", 1..=3, VPDPBUSD_YMM, 4),
    kernel("isa::avxvnni::multiply::<#, 3>", 1..=1, VPDPBUSD_YMM, 6),
    kernel("isa::avxvnni::multiply::<#, 4>", 1..=1, VPDPBUSD_YMM, 8),
    // AVX2: pairs that fit 16 bits, bytes split on the fly, operands widened beforehand.
    kernel(
        "isa::avx2::bytes::multiply_pairs::<#>",
        1..=6,
        VPMADDUBSW_YMM,
        2,
    ),
    kernel(
        "isa::avx2::bytes::multiply_split::<#>",
        1..=3,
        VPMADDWD_YMM,
        4,
    ),
    kernel("isa::avx2::wide::multiply::<#>", 1..=6, VPMADDWD_YMM, 2),
    kernel("isa::avx2::half::multiply::<#>", 1..=8, VPMADDWD_YMM, 1),
    // The portable tile: sixteen columns are two vectors, eight columns of four products each are four.
    kernel("isa::scalar::add_products::<#>", 2..=3, PMULLW_XMM, 2),
    kernel("isa::scalar::add_lines", 1..=1, PMULLW_XMM, 4),
    // SSE2, widened: two products for each row and pass.
    kernel("isa::sse2::add_products::<#>", 1..=4, PMADDWD_XMM, 2),
    // Lines of depthwise convolutions: a product in 16 bits for each of `#` taps.
    kernel(
        "isa::avx*::vectorize::enter::<*depthwise::lines::Group<16, #, *>>",
        1..=2,
        VPMULLW_YMM,
        1,
    ),
    kernel(
        "isa::avx*::vectorize::enter::<*depthwise::lines::Group<8, #, *>>",
        1..=2,
        VPMULLW_XMM,
        1,
    ),
    kernel(
        "isa::scalar::vectorize::<*depthwise::lines::Group<8, #, *>>",
        1..=2,
        PMULLW_XMM,
        1,
    ),
    kernel(
        "isa::avx*::vectorize::enter::<*depthwise::lines::Group<16, #, *>>",
        8..=9,
        VPMULLW_YMM,
        1,
    ),
    kernel(
        "isa::avx*::vectorize::enter::<*depthwise::lines::Group<8, #, *>>",
        8..=9,
        VPMULLW_XMM,
        1,
    ),
    kernel(
        "isa::scalar::vectorize::<*depthwise::lines::Group<8, #, *>>",
        8..=9,
        PMULLW_XMM,
        1,
    ),
    // Depthwise by columns, kernels of `#` by `#`: each output takes every tap of a row (`#`) times every
    // vector of kernel rows.
    kernel(
        "isa::depthwise::avx512vnni::enter::<*WideQuads, #, 1, *>",
        3..=3,
        VPDPBUSD_ZMM,
        1,
    ),
    kernel(
        "isa::depthwise::avx512vnni::enter::<*WideQuads, #, 2, *, true>",
        5..=5,
        VPDPBUSD_ZMM,
        2,
    ),
    Kernel {
        excuse: Some(ONE),
        ..kernel(
            "isa::depthwise::avx512vnni::enter::<*WideQuads, #, 2, *, false>",
            5..=5,
            VPDPBUSD_ZMM,
            2,
        )
    },
    kernel(
        "isa::depthwise::avx512vnni::enter::<*Quads<true>, #, 1, *>",
        3..=3,
        VPDPBUSD_YMM,
        1,
    ),
    kernel(
        "isa::depthwise::avx512vnni::enter::<*Quads<true>, #, 2, *, true>",
        5..=5,
        VPDPBUSD_YMM,
        2,
    ),
    Kernel {
        excuse: Some(ONE),
        ..kernel(
            "isa::depthwise::avx512vnni::enter::<*Quads<true>, #, 2, *, false>",
            5..=5,
            VPDPBUSD_YMM,
            2,
        )
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::avxvnni::enter::<#, 1, 1, *>",
            3..=3,
            VPDPBUSD_YMM,
            1,
        )
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::avxvnni::enter::<#, 1, 2, *, false>",
            3..=3,
            VPDPBUSD_YMM,
            1,
        )
    },
    kernel(
        "isa::depthwise::avxvnni::enter::<#, 1, 2, *, true>",
        3..=3,
        VPDPBUSD_YMM,
        1,
    ),
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::avxvnni::enter::<#, 2, *, false>",
            5..=5,
            VPDPBUSD_YMM,
            2,
        )
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::avxvnni::enter::<#, 2, 1, *, true>",
            5..=5,
            VPDPBUSD_YMM,
            2,
        )
    },
    kernel(
        "isa::depthwise::avxvnni::enter::<#, 2, 2, *, true>",
        5..=5,
        VPDPBUSD_YMM,
        2,
    ),
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::avx2::enter::<#, 2, 1, *>",
            3..=3,
            VPMADDWD_YMM,
            2,
        )
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::avx2::enter::<#, 2, 2, *, false>",
            3..=3,
            VPMADDWD_YMM,
            2,
        )
    },
    kernel(
        "isa::depthwise::avx2::enter::<#, 2, 2, *, true>",
        3..=3,
        VPMADDWD_YMM,
        2,
    ),
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::avx2::enter::<#, 3, *>",
            5..=5,
            VPMADDWD_YMM,
            3,
        )
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::sse2::enter::<#, 2, *>",
            3..=3,
            PMADDWD_XMM,
            4,
        )
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::sse2::enter::<#, 3, 1, *>",
            5..=5,
            PMADDWD_XMM,
            6,
        )
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::sse2::enter::<#, 3, 2, *, false>",
            5..=5,
            PMADDWD_XMM,
            6,
        )
    },
    // Its taps are shared out to several loops.
    Kernel {
        excuse: Some(MANY),
        ..kernel(
            "isa::depthwise::sse2::enter::<#, 3, 2, *, true>",
            5..=5,
            PMADDWD_XMM,
            2,
        )
    },
    // Narrow groups: seven outputs, each of which takes the three taps of a row.
    kernel(
        "isa::grouped::avx512vnni::enter::<*>",
        7..=7,
        VPDPBUSD_ZMM,
        3,
    ),
    Kernel {
        excuse: Some(MANY),
        ..kernel("isa::grouped::avxvnni::enter::<*>", 7..=7, VPDPBUSD_YMM, 3)
    },
    Kernel {
        excuse: Some(MANY),
        ..kernel("isa::grouped::avx2::enter::<*>", 7..=7, VPMADDWD_YMM, 3)
    },
];

/// Whether a name fits a pattern, in which each `*` stands for any text.
pub fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| fits(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_stand_in_the_pattern() {
        let tile = kernel("f::<#, 4>", 1..=6, PMADDWD_XMM, 4);
        assert_eq!(tile.pattern(3), "f::<3, 4>");
    }

    #[test]
    fn stars_stand_for_any_text() {
        assert!(fits("a::b", "a::b") && !fits("a::b", "a::bc") && !fits("a::b", "x::a::b"));
        assert!(fits("a::*", "a::") && fits("a::*::<*>", "a::b::c::<1, 2>"));
        assert!(!fits("a::*::<1>", "a::b::<2>"));
        assert!(fits("*", "") && fits("*x", "xx"));
    }
}
