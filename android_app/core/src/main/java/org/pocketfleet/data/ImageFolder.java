package org.pocketfleet.data;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.pocketfleet.bundle.Manifest;
import org.pocketfleet.tensor.DType;
import org.pocketfleet.tensor.Tensor;

/**
 * Samples in a folder with one folder of images per class: {@code <class name>/<image>}. They are
 * taken in the order of their names, as the Python client does.
 */
public final class ImageFolder implements DataSource {
  private static final List<String> SUFFIXES =
      Arrays.asList(".jpg", ".jpeg", ".png", ".bmp", ".webp");
  private static final int CLASSES_NAMED = 10;

  private final File folder;
  private final ImageDecoder decoder;

  /** Names the folder. */
  public ImageFolder(File folder, ImageDecoder decoder) {
    this.folder = folder;
    this.decoder = decoder;
  }

  @Override
  public Dataset load(Manifest manifest) throws DataException {
    if (!folder.isDirectory()) {
      throw new DataException(folder + ": no such data file or folder");
    }
    int[] shape = manifest.input().shape();
    if (shape.length != 3 || (shape[2] != 1 && shape[2] != 3)) {
      throw new DataException(
          folder
              + ": a folder of images needs a network with 1 or 3 channels, this has "
              + Arrays.toString(shape));
    }
    List<File> images = new ArrayList<>();
    List<Long> labels = new ArrayList<>();
    for (File entry : sorted(folder)) {
      if (entry.isDirectory()) {
        addClass(entry, manifest.classes(), images, labels);
      }
    }
    if (images.isEmpty()) {
      throw new DataException(
          folder + ": no images in <class>/<image> (" + String.join(", ", SUFFIXES) + ")");
    }
    long bytes = (long) images.size() * shape[0] * shape[1] * shape[2];
    if (bytes > Integer.MAX_VALUE) {
      throw new DataException(
          folder + ": " + images.size() + " images are " + bytes + " bytes, more than 2 GiB");
    }
    Tensor x = Tensor.zeros(DType.UINT8, images.size(), shape[0], shape[1], shape[2]);
    ByteBuffer pixels = x.data();
    for (File image : images) {
      pixels.put(decoder.decode(image, shape[0], shape[1], shape[2]));
    }
    long[] y = labels.stream().mapToLong(Long::longValue).toArray();
    return Dataset.of(x, y, folder.toString(), manifest);
  }

  private static void addClass(
      File directory, List<String> classes, List<File> images, List<Long> labels)
      throws DataException {
    List<File> found = new ArrayList<>();
    for (File file : sorted(directory)) {
      String name = file.getName();
      int dot = name.lastIndexOf('.');
      if (dot > 0 && SUFFIXES.contains(name.substring(dot).toLowerCase(Locale.ROOT))) {
        found.add(file);
      }
    }
    int label = classes.indexOf(directory.getName());
    if (!found.isEmpty() && label < 0) {
      List<String> some = classes.subList(0, Math.min(CLASSES_NAMED, classes.size()));
      throw new DataException(
          String.format(
              Locale.ROOT,
              "%s: '%s' is not one of the bundle's classes (%s…)",
              directory,
              directory.getName(),
              String.join(", ", some)));
    }
    for (File file : found) {
      images.add(file);
      labels.add((long) label);
    }
  }

  private static File[] sorted(File directory) throws DataException {
    File[] entries = directory.listFiles();
    if (entries == null) {
      throw new DataException(directory + ": cannot be read");
    }
    Arrays.sort(entries);
    return entries;
  }
}
