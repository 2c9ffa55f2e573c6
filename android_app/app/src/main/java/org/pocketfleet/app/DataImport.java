package org.pocketfleet.app;

import android.content.ContentResolver;
import android.content.Context;
import android.database.Cursor;
import android.net.Uri;
import android.provider.DocumentsContract;
import android.provider.DocumentsContract.Document;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.pocketfleet.data.DataException;

/**
 * Copies the data that a person picks into the app's own storage, so that it is there in the
 * background, too, and stays as it was when it was picked.
 */
final class DataImport {
  private static final long LEAVE_FREE_BYTES = 300L << 20;
  private static final int MOST_PICTURES = 200_000;

  private final Context context;

  DataImport(Context context) {
    this.context = context.getApplicationContext();
  }

  /**
   * Copies one {@code .npz} file.
   *
   * @return the copy, which has taken the place of earlier data
   * @throws DataException it cannot be read, or there is no room
   */
  File file(Uri uri) throws DataException {
    File fresh = emptied("incoming");
    copy(uri, new File(fresh, "data.npz"));
    return new File(replace(fresh), "data.npz");
  }

  /**
   * Copies a folder with one folder of pictures per class.
   *
   * @return the copy, which has taken the place of earlier data
   * @throws DataException it has no pictures, cannot be read, or there is no room
   */
  File folder(Uri tree) throws DataException {
    File fresh = emptied("incoming");
    int pictures = 0;
    String root = DocumentsContract.getTreeDocumentId(tree);
    for (Entry folder : children(tree, root)) {
      if (!folder.directory) {
        continue;
      }
      File target = new File(fresh, safe(folder.name));
      for (Entry picture : children(tree, folder.id)) {
        if (!picture.picture()) {
          continue;
        }
        if (++pictures > MOST_PICTURES) {
          throw new DataException("this folder has more than " + MOST_PICTURES + " pictures");
        }
        boolean unused = target.mkdir();
        Uri uri = DocumentsContract.buildDocumentUriUsingTree(tree, picture.id);
        copy(uri, new File(target, safe(picture.name)));
      }
    }
    if (pictures == 0) {
      throw new DataException(
          "this folder has no pictures; it needs one folder per class with pictures in it");
    }
    return replace(fresh);
  }

  /** A document in a folder. */
  private static final class Entry {
    final String id;
    final String name;
    final boolean directory;

    Entry(String id, String name, boolean directory) {
      this.id = id;
      this.name = name;
      this.directory = directory;
    }

    boolean picture() {
      return !directory && name.toLowerCase(Locale.ROOT).matches(".*\\.(jpg|jpeg|png|bmp|webp)");
    }
  }

  private List<Entry> children(Uri tree, String id) throws DataException {
    List<Entry> entries = new ArrayList<>();
    Uri uri = DocumentsContract.buildChildDocumentsUriUsingTree(tree, id);
    String[] columns = {
      Document.COLUMN_DOCUMENT_ID, Document.COLUMN_DISPLAY_NAME, Document.COLUMN_MIME_TYPE
    };
    try (Cursor cursor = context.getContentResolver().query(uri, columns, null, null, null)) {
      while (cursor != null && cursor.moveToNext()) {
        entries.add(
            new Entry(
                cursor.getString(0),
                String.valueOf(cursor.getString(1)),
                Document.MIME_TYPE_DIR.equals(cursor.getString(2))));
      }
    } catch (SecurityException denied) {
      throw new DataException(
          "Android does not let this app read the folder; choose it again", denied);
    }
    return entries;
  }

  /** A name from another app is no path. */
  private static String safe(String name) throws DataException {
    if (name.isEmpty()
        || name.startsWith(".")
        || name.indexOf('/') >= 0
        || name.indexOf('\0') >= 0) {
      throw new DataException("'" + name + "' is no name for a file; rename it");
    }
    return name;
  }

  private void copy(Uri uri, File to) throws DataException {
    ContentResolver resolver = context.getContentResolver();
    try (InputStream in = resolver.openInputStream(uri)) {
      if (in == null) {
        throw new FileNotFoundException("the file is empty or gone");
      }
      if (to.getParentFile().getUsableSpace() < LEAVE_FREE_BYTES) {
        throw new DataException("this phone's storage is almost full; free some space first");
      }
      Files.copy(in, to.toPath());
    } catch (SecurityException denied) {
      throw new DataException(
          "Android does not let this app read the file; choose it again", denied);
    } catch (IOException error) {
      throw new DataException(to.getName() + ": cannot be copied: " + error.getMessage(), error);
    }
  }

  private File replace(File fresh) throws DataException {
    File current = new File(Places.data(context), "chosen");
    delete(current);
    if (!fresh.renameTo(current)) {
      throw new DataException("the data cannot be put into the app's storage");
    }
    return current;
  }

  private File emptied(String name) throws DataException {
    File directory = new File(Places.data(context), name);
    delete(directory);
    if (!directory.mkdirs()) {
      throw new DataException("the app's storage cannot be written; free some space first");
    }
    return directory;
  }

  private static void delete(File file) throws DataException {
    File[] children = file.listFiles();
    if (children != null) {
      for (File child : children) {
        delete(child);
      }
    }
    Path path = file.toPath();
    try {
      boolean unused = Files.deleteIfExists(path);
    } catch (IOException error) {
      throw new DataException(path + ": cannot be deleted: " + error.getMessage(), error);
    }
  }
}
