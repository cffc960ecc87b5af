"""Reading checkpoints that strangers made: nothing in them is executed.

opened      one descriptor, a private copy, its hash
sniff       what the content is, whatever the name says
sandbox     a child with limits, and the frames it answers in
child       what runs there, without torch:
  archive     the zip that `torch.save` writes
  legacy      the stream it wrote before
  pickled     the pickle within, followed but not obeyed
  header      safetensors
  choose      the state dict among what was found
  words       what stands beside it
  nothing     why there is none
folder      a model folder: config.json and its weights, sharded or not
raw         what comes out: `RawCheckpoint`
health      values no trained network has
read        `read_file`, the only entry
"""
