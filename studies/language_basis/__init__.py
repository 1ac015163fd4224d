"""Does it help to say a picture in the language model's own words? Five hypotheses with their controls.

world         scenes of one to three things, what is said of them, and how both are cut into slots
pretrained    the frozen parts: an encoder that has read captions, language models that have read descriptions
arms          the connectors that are compared, of equal parameters and operations
trial         one training of one connector, and what is measured of it: one small file
joint, drawn  the second half of H5: one language model that answers and draws, and what its drawings are worth
plan          which trials a hypothesis needs, and learning rates chosen on validation scenes
hypotheses    verdicts as pure functions of what was measured
page          with tables, plots and texts: docs/studies/language-basis.md
"""
