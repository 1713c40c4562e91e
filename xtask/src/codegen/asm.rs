//! Reads the assembly that rustc prints (AT&T syntax, ELF): functions, and their labels and instructions.

/// A function and its instructions in the order of the text.
pub struct Function {
    /// The demangled name, with generic arguments and without the crate's hash.
    pub name: String,
    pub instructions: Vec<Instruction>,
    /// Labels, each with the index of the instruction behind it.
    labels: Vec<(String, usize)>,
}

/// One instruction.
pub struct Instruction {
    /// The line in the assembly, counted from 1.
    pub line: usize,
    /// The text without its indentation, blanks squeezed.
    pub text: String,
    /// The first word, encoding prefixes left out.
    pub mnemonic: String,
    /// What stands between the commas outside of brackets.
    pub operands: Vec<String>,
}

/// How wide a vector register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Register {
    Xmm,
    Ymm,
    Zmm,
    /// A tile of AMX.
    Tmm,
}

impl Register {
    /// As it begins in assembly, without the percent sign.
    pub fn name(self) -> &'static str {
        match self {
            Register::Xmm => "xmm",
            Register::Ymm => "ymm",
            Register::Zmm => "zmm",
            Register::Tmm => "tmm",
        }
    }
}

/// The functions of a file.
pub fn functions(assembly: &str) -> Vec<Function> {
    let mut found: Vec<Function> = Vec::new();
    let mut open = false;
    for (index, line) in assembly.lines().enumerate() {
        let text = line.split('#').next().unwrap_or_default().trim();
        if let Some(label) = text.strip_suffix(':') {
            if !label.starts_with('.') {
                // Functions and data both begin like this; data has no instructions.
                found.push(Function {
                    name: format!("{:#}", rustc_demangle::demangle(label)),
                    instructions: Vec::new(),
                    labels: Vec::new(),
                });
                open = true;
            } else if let Some(function) = found.last_mut().filter(|_| open) {
                let next = function.instructions.len();
                function.labels.push((label.to_owned(), next));
            }
        } else if text.starts_with(".size") || text.starts_with(".section") {
            // Jump tables follow in another section, and their labels are no places in the code.
            open = false;
        } else if !text.is_empty()
            && !text.starts_with('.')
            && let Some(function) = found.last_mut().filter(|_| open)
        {
            function
                .instructions
                .push(Instruction::parse(index + 1, text));
        }
    }
    found.retain(|function| !function.instructions.is_empty());
    found
}

impl Function {
    /// The index of the instruction behind a label of this function.
    pub fn place(&self, label: &str) -> Option<usize> {
        let (_, place) = self.labels.iter().find(|(name, _)| name == label)?;
        Some(*place)
    }

    /// Whether `rbp` holds an address on the stack; otherwise it is a register like any other.
    pub fn has_frame_pointer(&self) -> bool {
        self.instructions.iter().any(|instruction| {
            let operands = &instruction.operands;
            operands.len() == 2
                && operands[1] == "%rbp"
                && (instruction.mnemonic == "movq" && operands[0] == "%rsp"
                    || instruction.mnemonic == "leaq" && operands[0].ends_with("(%rsp)"))
        })
    }
}

impl Instruction {
    fn parse(line: usize, text: &str) -> Instruction {
        // `{vex}` and `{evex}` choose an encoding, `lock` and `rep` stand before an instruction.
        let mut rest = text;
        let mnemonic = loop {
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            rest = after.trim();
            let prefix = word.starts_with('{') || matches!(word, "lock" | "rep" | "repne");
            if !prefix || rest.is_empty() {
                break word;
            }
        };
        Instruction {
            line,
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            mnemonic: mnemonic.to_owned(),
            operands: operands(rest),
        }
    }

    /// The label a jump goes to; calls and jumps through registers have none.
    pub fn jump(&self) -> Option<&str> {
        let target = self
            .operands
            .first()
            .filter(|_| self.mnemonic.starts_with('j'))?;
        target.starts_with('.').then_some(target)
    }

    /// The widest vector register among the operands, addresses left out.
    pub fn vector(&self) -> Option<Register> {
        [Register::Tmm, Register::Zmm, Register::Ymm, Register::Xmm]
            .into_iter()
            .find(|register| {
                let start = format!("%{}", register.name());
                self.operands
                    .iter()
                    .any(|operand| operand.starts_with(&start))
            })
    }

    /// The operand in memory, if there is one.
    fn memory(&self) -> Option<&str> {
        let found = self.operands.iter().find(|operand| operand.contains('('));
        found.map(String::as_str)
    }

    /// Whether a vector is read from memory, or an operand of vector arithmetic is.
    pub fn is_vector_load(&self) -> bool {
        self.vector().is_some() && self.memory().is_some() && !self.is_vector_store()
    }

    /// Whether a vector is written to memory: in this syntax the last operand is the destination.
    pub fn is_vector_store(&self) -> bool {
        let to_memory = self.operands.last().is_some_and(|last| last.contains('('));
        self.vector().is_some() && to_memory
    }

    /// Whether a vector is read from or written to an address relative to the stack pointer, or to the
    /// frame pointer of a function that has one.
    pub fn is_vector_on_stack(&self, frame_pointer: bool) -> bool {
        let stack = |operand: &str| {
            let (_, address) = operand.split_once('(').unwrap_or((operand, ""));
            address.contains("%rsp") || frame_pointer && address.contains("%rbp")
        };
        self.vector().is_some() && self.memory().is_some_and(stack)
    }
}

/// Splits at the commas outside of brackets.
fn operands(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            found.push(String::new());
        } else if let Some(last) = found.last_mut() {
            last.push(c);
        }
    }
    let trimmed = found.iter().map(|operand| operand.trim().to_owned());
    trimmed.filter(|operand| !operand.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Instruction {
        Instruction::parse(1, text)
    }

    #[test]
    fn functions_have_names_labels_and_instructions() {
        let text = "\t.section\t.text.f,\"ax\",@progbits\n\
            _RINvNtNtCsjU7PBsSa31s_12qkernels_x863isa4avx210split_tileKj4_EB6_:\n\
            \t.cfi_startproc\n\tpushq\t%r15  # comment\n.LBB81_1:\n\tjb\t.LBB81_1\n\
            .Lfunc_end0:\n\t.size\tf, .Lfunc_end0-f\n.LJTI3_0:\n\t.long\t.LBB1_2-.LJTI3_0\n\
            data:\n\t.asciz\t\"x\"\n";
        let found = functions(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "qkernels_x86::isa::avx2::split_tile::<4>");
        assert_eq!(found[0].place(".LBB81_1"), Some(1));
        assert_eq!(found[0].place(".LJTI3_0"), None);
        let texts: Vec<_> = found[0].instructions.iter().map(|i| &i.text).collect();
        assert_eq!(texts, ["pushq %r15", "jb .LBB81_1"]);
        assert_eq!(found[0].instructions[1].line, 6);
        assert_eq!(found[0].instructions[1].jump(), Some(".LBB81_1"));
    }

    #[test]
    fn operands_keep_their_addresses_together() {
        let parsed = one("{vex}\tvpdpbusd\t16(%rsi,%rax,4), %ymm1, %ymm2");
        assert_eq!(parsed.mnemonic, "vpdpbusd");
        assert_eq!(parsed.operands, ["16(%rsi,%rax,4)", "%ymm1", "%ymm2"]);
        assert_eq!(parsed.vector(), Some(Register::Ymm));
        assert!(one("ret").operands.is_empty() && one("ret").vector().is_none());
    }

    #[test]
    fn loads_and_stores_of_vectors_are_told_apart() {
        let load = one("vpaddd (%rdi), %ymm1, %ymm2");
        assert!(load.is_vector_load() && !load.is_vector_store());
        let store = one("vmovdqu8 %zmm1, (%rax,%rcx) {%k1}");
        assert!(store.is_vector_store() && !store.is_vector_load());
        let plain = one("movq 8(%rsp), %rax");
        assert!(!plain.is_vector_load() && !plain.is_vector_on_stack(true));
    }

    #[test]
    fn the_stack_is_rsp_and_a_frame_pointer() {
        for on_stack in [
            "vmovdqu %ymm7, 16(%rsp)",
            "vpaddd 16(%rsp,%rax), %ymm8, %ymm8",
            "vpbroadcastd (%rsp), %zmm1",
            "movdqa %xmm0, -64(%rsp)",
        ] {
            assert!(one(on_stack).is_vector_on_stack(false), "{on_stack}");
        }
        let rbp = one("vmovdqa -32(%rbp), %ymm0");
        assert!(rbp.is_vector_on_stack(true) && !rbp.is_vector_on_stack(false));
        let pushed = functions("f:\n\tpushq\t%rbp\n\tmovq\t(%rdi), %rbp\n");
        assert!(!pushed[0].has_frame_pointer());
        let framed = functions("f:\n\tpushq\t%rbp\n\tmovq\t%rsp, %rbp\n");
        assert!(framed[0].has_frame_pointer());
    }
}
