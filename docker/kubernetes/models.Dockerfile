# An image of a model repository, which is the build context, for the component models-from-image.
FROM busybox:1.37
COPY . /models
