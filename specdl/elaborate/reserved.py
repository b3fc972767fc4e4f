"""Names that a layer can't have, since every PyTorch module has an attribute of that name already.

`self.train = nn.Linear(4, 4)` raises nothing in PyTorch, but `self.train` stays the method. The list is written
out, so that a spec is checked without torch; a test holds it against `dir(nn.Module())`.
"""

from __future__ import annotations

MODULE_ATTRIBUTES = frozenset(
    """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval
    extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules
    mtia named_buffers named_children named_modules named_parameters parameters register_backward_hook register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule
    share_memory state_dict to to_empty train training type xpu zero_grad

    _apply _backward_hooks _backward_pre_hooks _buffers _call_impl _compiled_call_impl _forward_hooks
    _forward_hooks_always_called _forward_hooks_with_kwargs _forward_pre_hooks _forward_pre_hooks_with_kwargs
    _get_backward_hooks _get_backward_pre_hooks _get_name _is_full_backward_hook _load_from_state_dict
    _load_state_dict_post_hooks _load_state_dict_pre_hooks _maybe_warn_non_full_backward_hook _modules _named_members
    _non_persistent_buffers_set _parameters _register_load_state_dict_pre_hook _register_state_dict_hook
    _replicate_for_data_parallel _save_to_state_dict _slow_forward _state_dict_hooks _state_dict_pre_hooks _version
    _wrapped_call_impl
    """.split()  # noqa: SIM905 - a list would take a hundred lines
)
"""The attributes of `nn.Module`, but those that begin with two underscores."""

CONTAINER_ATTRIBUTES = frozenset(
    {"_get_item_by_idx", "append", "clear", "extend", "insert", "items", "keys", "pop", "update", "values"}
)
"""What `nn.Sequential` and `nn.ModuleDict` have more: a counted level becomes one of them."""


def why_reserved(name: str, *, counted: bool = False) -> str | None:
    """Why no layer of a module (or of a container, as a counted level is) can have this name, or None."""
    if name.startswith("__"):
        return "is private in Python, as all names that begin with two underscores"
    if name in MODULE_ATTRIBUTES:
        return "is an attribute of every PyTorch module"
    return "is an attribute of PyTorch's containers" if counted and name in CONTAINER_ATTRIBUTES else None
