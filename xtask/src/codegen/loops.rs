//! Finds the innermost loops around dot products and measures what is in them.

use super::asm::{Function, Instruction, Register};

/// The instructions that multiply integers and add up neighbouring products, or multiply them alone, in 16 bits.
const DOT_PRODUCTS: &[&str] = &[
    "vpdpbusd",
    "vpmaddubsw",
    "vpdpbusds",
    "vpdpwssd",
    "vpmaddwd",
    "pmaddwd",
    "tdpbusd",
    "vpmullw",
    "pmullw",
];

/// A dot product instruction on registers of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dot {
    pub mnemonic: &'static str,
    pub register: Register,
}

impl Dot {
    fn of(instruction: &Instruction) -> Option<Dot> {
        let mnemonic = DOT_PRODUCTS
            .iter()
            .find(|known| **known == instruction.mnemonic)?;
        let register = instruction.vector()?;
        Some(Dot { mnemonic, register })
    }
}

/// An innermost loop that holds dot products.
pub struct Loop<'a> {
    /// The instructions from the label to the jump back to it.
    pub body: &'a [Instruction],
    frame_pointer: bool,
}

/// The loops of a function that hold dot products and no smaller such loop, in the order of the text.
pub fn dot_loops(function: &Function) -> Vec<Loop<'_>> {
    let holds_dot = |&(first, last): &(usize, usize)| {
        function.instructions[first..=last]
            .iter()
            .any(|instruction| Dot::of(instruction).is_some())
    };
    let regions: Vec<(usize, usize)> = (function.instructions.iter().enumerate())
        .filter_map(|(last, instruction)| {
            let first = function.place(instruction.jump()?)?;
            (first <= last).then_some((first, last))
        })
        .filter(holds_dot)
        .collect();
    let frame_pointer = function.has_frame_pointer();
    let innermost = regions.iter().filter(|outer| {
        !regions
            .iter()
            .any(|inner| inner != *outer && outer.0 <= inner.0 && inner.1 <= outer.1)
    });
    innermost
        .map(|&(first, last)| Loop {
            body: &function.instructions[first..=last],
            frame_pointer,
        })
        .collect()
}

impl<'a> Loop<'a> {
    /// How often an instruction of this kind stands in the loop.
    pub fn count(&self, dot: Dot) -> usize {
        self.matching(|instruction| Dot::of(instruction) == Some(dot))
            .count()
    }

    /// Vectors read from memory.
    pub fn loads(&self) -> usize {
        self.matching(Instruction::is_vector_load).count()
    }

    /// Vectors written to memory.
    pub fn stores(&self) -> usize {
        self.matching(Instruction::is_vector_store).count()
    }

    /// The instructions that keep a vector on the stack: accumulators that found no register.
    pub fn on_stack(&self) -> impl Iterator<Item = &'a Instruction> {
        let frame_pointer = self.frame_pointer;
        self.matching(move |instruction| instruction.is_vector_on_stack(frame_pointer))
    }

    /// Calls, around which no vector register survives.
    pub fn calls(&self) -> impl Iterator<Item = &'a Instruction> {
        self.matching(|instruction| instruction.mnemonic.starts_with("call"))
    }

    fn matching(
        &self,
        wanted: impl Fn(&Instruction) -> bool,
    ) -> impl Iterator<Item = &'a Instruction> {
        self.body
            .iter()
            .filter(move |instruction| wanted(instruction))
    }
}

#[cfg(test)]
mod tests {
    use super::super::asm::functions;
    use super::*;

    const ZMM: Dot = Dot {
        mnemonic: "vpdpbusd",
        register: Register::Zmm,
    };

    #[test]
    fn the_innermost_loop_is_found_between_others() {
        let found = functions(
            "f:\n.L1:\n\tvmovdqu\t(%rax), %zmm1\n.L2:\n\tvpdpbusd\t%zmm1, %zmm2, %zmm3\n\
             \tjb\t.L2\n\tjb\t.L1\n.L3:\n\tincq\t%rax\n\tjne\t.L3\n\tjmp\t.L4\n.L4:\n\tret\n",
        );
        let loops = dot_loops(&found[0]);
        assert_eq!(loops.len(), 1);
        assert_eq!((loops[0].body.len(), loops[0].count(ZMM)), (2, 1));
        assert_eq!((loops[0].loads(), loops[0].stores()), (0, 0));
    }

    #[test]
    fn loops_one_after_the_other_are_all_found() {
        let found = functions(
            "f:\n.L1:\n\tvpdpbusd\t%zmm1, %zmm2, %zmm3\n\tjb\t.L1\n\
             .L2:\n\tvpdpbusd\t%ymm1, %ymm2, %ymm3\n\tvpdpbusd\t(%rdi), %zmm2, %zmm4\n\tjne\t.L2\n",
        );
        let counts: Vec<_> = dot_loops(&found[0]).iter().map(|l| l.count(ZMM)).collect();
        assert_eq!(counts, [1, 1]);
    }

    #[test]
    fn a_spilled_accumulator_and_a_call_are_found() {
        let found = functions(
            "f:\n.L1:\n\tvpdpbusd\t%zmm1, %zmm2, %zmm3\n\tvpaddd\t16(%rsp), %ymm8, %ymm8\n\
             \tvmovdqu\t%ymm8, 16(%rsp)\n\tmovq\t8(%rsp), %rax\n\tcallq\t*%rax\n\tjb\t.L1\n",
        );
        let loops = dot_loops(&found[0]);
        let lines: Vec<_> = loops[0].on_stack().map(|spill| spill.line).collect();
        assert_eq!(lines, [4, 5]);
        assert_eq!(loops[0].calls().count(), 1);
        assert_eq!((loops[0].loads(), loops[0].stores()), (1, 1));
    }

    #[test]
    fn straight_code_has_no_loop() {
        let found = functions("f:\n\tvpdpbusd\t%zmm1, %zmm2, %zmm3\n\tjne\t.L9\n\tret\n");
        assert!(dot_loops(&found[0]).is_empty());
    }
}
