package org.pocketfleet.desktop;

import java.io.File;
import org.pocketfleet.data.DataSource;
import org.pocketfleet.data.ImageFolder;
import org.pocketfleet.data.NpzData;

/** A client's data as a user names it on the command line. */
final class LocalData {
  private LocalData() {}

  /** An {@code .npz} file, or a folder with one folder of images per class. */
  static DataSource at(String path) {
    File file = new File(path);
    return file.isDirectory() ? new ImageFolder(file, new ImageIoDecoder()) : new NpzData(file);
  }
}
