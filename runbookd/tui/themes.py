"""The colours: calm, legible on tired eyes, one dark and one light."""

from textual.theme import Theme

DARK = Theme(
    name="runbookd-dark",
    primary="#7aa2f7",
    secondary="#9fb8d9",
    accent="#e0af68",
    warning="#e0af68",
    error="#f7768e",
    success="#8fc97a",
    foreground="#d5d9e6",
    background="#14161d",
    surface="#1d202a",
    panel="#262a36",
    dark=True,
    variables={
        "syntax-keyword": "#bb9af7",
        "syntax-string": "#9ece6a",
        "syntax-number": "#ff9e64",
        "syntax-comment": "#848aa3",
        "syntax-name": "#7dcfff",
        "syntax-builtin": "#7dcfff",
        "footer-key-foreground": "#7aa2f7",
        "block-cursor-foreground": "#14161d",
        "block-cursor-background": "#7aa2f7",
    },
)

LIGHT = Theme(
    name="runbookd-light",
    primary="#2257b8",
    secondary="#3d5a80",
    accent="#8a5200",
    warning="#8a5200",
    error="#b3213a",
    success="#2d6b1f",
    foreground="#1d2129",
    background="#fafaf7",
    surface="#f0f0ea",
    panel="#e4e4dc",
    dark=False,
    variables={
        "syntax-keyword": "#7a2fa0",
        "syntax-string": "#2d6b1f",
        "syntax-number": "#9a4a00",
        "syntax-comment": "#66697a",
        "syntax-name": "#0b5c8a",
        "syntax-builtin": "#0b5c8a",
    },
)
