# SPDX-License-Identifier: MIT
"""Writes conduit-tiny as GGUF, in Q8_0 (norms in F32), for llama.cpp.

`add_space_prefix = false` and no BOS: a grammar and a chat template must see the text as it is.
llama.cpp keeps matrices as [out, in]; ours are [in, out], so they are turned on the way.
"""
import pathlib

import gguf
import numpy as np

from tokenizer import END_OF_TEXT, IM_END, SPECIALS, TOOL_CALL

TEMPLATE = pathlib.Path(__file__).parent / "text" / "chat_template.jinja"
NAMES = {"wq": "attn_q", "wk": "attn_k", "wv": "attn_v", "wo": "attn_output",
         "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}


def template_text():
    """One line: the file's line breaks are for people, and all of them are trimmed anyway."""
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    return "".join(line.strip() for line in lines if not line.startswith("{#-"))


def write(path, params, shape, tokenizer):
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("conduit-tiny")
    w.add_description("A very small test model, trained by the Conduit project on its own text.")
    w.add_author("The Conduit project")
    w.add_license("MIT")
    w.add_languages(["en"])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_context_length(shape.context)
    w.add_embedding_length(shape.dim)
    w.add_block_count(shape.layers)
    w.add_feed_forward_length(shape.hidden)
    w.add_head_count(shape.heads)
    w.add_head_count_kv(shape.heads)
    w.add_layer_norm_rms_eps(shape.eps)
    w.add_rope_freq_base(shape.rope_base)
    w.add_rope_dimension_count(shape.dim // shape.heads)
    w.add_vocab_size(shape.vocab)
    add_vocabulary(w, tokenizer, shape.vocab)

    def matrix(name, value):
        data = np.ascontiguousarray(np.asarray(value, np.float32))
        w.add_tensor(name, gguf.quants.quantize(data, gguf.GGMLQuantizationType.Q8_0),
                     raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    matrix("token_embd.weight", params["embed"])
    matrix("output.weight", params["output"])
    w.add_tensor("output_norm.weight", np.asarray(params["norm"], np.float32))
    for n in range(shape.layers):
        for name, tensor in NAMES.items():
            matrix(f"blk.{n}.{tensor}.weight", np.asarray(params[name][n]).T)
        w.add_tensor(f"blk.{n}.attn_norm.weight", np.asarray(params["norm1"][n], np.float32))
        w.add_tensor(f"blk.{n}.ffn_norm.weight", np.asarray(params["norm2"][n], np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def add_vocabulary(w, tokenizer, size):
    kind = gguf.TokenType
    tokens = list(tokenizer.tokens)
    kinds = [kind.CONTROL] * TOOL_CALL + [kind.USER_DEFINED] * (len(SPECIALS) - TOOL_CALL)
    kinds += [kind.NORMAL] * (len(tokens) - len(kinds))
    while len(tokens) < size:
        kinds.append(kind.UNUSED)
        tokens.append(f"<|unused{len(tokens)}|>")
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges([f"{a} {b}" for a, b in tokenizer.merges])
    w.add_bos_token_id(END_OF_TEXT)
    w.add_eos_token_id(IM_END)
    w.add_eot_token_id(IM_END)
    w.add_pad_token_id(END_OF_TEXT)
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(False)
    w.add_chat_template(template_text())
