"""The convolutions of VGG16 as data: ``vgg16.safetensors`` in the folder of this module."""
