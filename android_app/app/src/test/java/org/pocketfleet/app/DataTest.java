package org.pocketfleet.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.database.Cursor;
import android.database.MatrixCursor;
import android.graphics.Bitmap;
import android.net.Uri;
import android.provider.DocumentsContract;
import android.provider.DocumentsContract.Document;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.pocketfleet.data.DataException;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowContentResolver;

/** Data from pictures: copied from another app, and decoded with Android's own decoder. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = {26, 34})
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class DataTest {
  @Rule public final Phone phone = new Phone();

  private static File picture(File file, int width, int height) throws Exception {
    Bitmap bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888);
    for (int i = 0; i < width * height; i++) {
      // The last pixel is half transparent: its colour counts as it is in the file.
      int alpha = i == width * height - 1 ? 0x80 : 0xff;
      bitmap.setPixel(i % width, i / width, alpha << 24 | (i * 40) << 16 | (255 - i) << 8 | i);
    }
    bitmap.setPremultiplied(false);
    try (FileOutputStream out = new FileOutputStream(file)) {
      assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, out));
    }
    return file;
  }

  @Test
  public void picturesAreDecodedAsOtherClientsDo() throws Exception {
    File file = picture(new File(phone.app.getFilesDir(), "p.png"), 3, 2);
    byte[] rgb = new BitmapDecoder().decode(file, 2, 3, 3);
    byte[] grey = new BitmapDecoder().decode(file, 2, 3, 1);
    assertEquals(18, rgb.length);
    for (int i = 0; i < 5; i++) {
      int red = i * 40;
      int green = 255 - i;
      assertEquals((byte) red, rgb[3 * i]);
      assertEquals((byte) green, rgb[3 * i + 1]);
      assertEquals((byte) i, rgb[3 * i + 2]);
      // Pillow's own formula.
      assertEquals((byte) ((red * 19595 + green * 38470 + i * 7471 + 0x8000) >> 16), grey[i]);
    }
  }

  @Test
  public void otherSizesAndOtherFilesAreNamed() throws Exception {
    File file = picture(new File(phone.app.getFilesDir(), "p.png"), 3, 2);
    DataException size =
        assertThrows(DataException.class, () -> new BitmapDecoder().decode(file, 3, 2, 3));
    assertEquals(file + ": 3x2 pixels, the network takes 2x3", size.getMessage());
    File text = new File(phone.app.getFilesDir(), "t.png");
    Files.write(text.toPath(), new byte[] {'h', 'i'});
    DataException broken =
        assertThrows(DataException.class, () -> new BitmapDecoder().decode(text, 3, 2, 3));
    assertTrue(broken.getMessage(), broken.getMessage().endsWith("not a readable image"));
  }

  /** Another app's files: documents by id, whose parent is what is before the last slash. */
  public static final class Documents extends ContentProvider {
    static final String AUTHORITY = "org.other.documents";
    static String[] files = {};

    @Override
    public Cursor query(
        Uri uri, String[] columns, String selection, String[] arguments, String order) {
      String parent = DocumentsContract.getDocumentId(uri);
      MatrixCursor cursor = new MatrixCursor(columns);
      for (String file : files) {
        int slash = file.lastIndexOf('/', file.length() - 2);
        if (file.substring(0, slash).equals(parent)) {
          boolean folder = file.endsWith("/");
          String id = folder ? file.substring(0, file.length() - 1) : file;
          String name = id.substring(slash + 1).replace('|', '/');
          cursor.addRow(new Object[] {id, name, folder ? Document.MIME_TYPE_DIR : "image/png"});
        }
      }
      return cursor;
    }

    @Override
    public boolean onCreate() {
      return true;
    }

    @Override
    public String getType(Uri uri) {
      return null;
    }

    @Override
    public Uri insert(Uri uri, ContentValues values) {
      return null;
    }

    @Override
    public int delete(Uri uri, String selection, String[] arguments) {
      return 0;
    }

    @Override
    public int update(Uri uri, ContentValues values, String selection, String[] arguments) {
      return 0;
    }
  }

  private Uri tree(String... files) {
    Documents.files = files;
    ShadowContentResolver.registerProviderInternal(Documents.AUTHORITY, new Documents());
    Uri tree = DocumentsContract.buildTreeDocumentUri(Documents.AUTHORITY, "root");
    for (String file : files) {
      shadowOf(phone.app.getContentResolver())
          .registerInputStream(
              DocumentsContract.buildDocumentUriUsingTree(tree, file),
              new ByteArrayInputStream(file.getBytes(StandardCharsets.UTF_8)));
    }
    return tree;
  }

  @Test
  public void folderIsCopiedClassByClass() throws Exception {
    Uri tree =
        tree(
            "root/cat/",
            "root/cat/1.png",
            "root/cat/2.JPG",
            "root/cat/notes.txt",
            "root/dog/",
            "root/dog/1.png",
            "root/empty/",
            "root/loose.png");
    File copy = new DataImport(phone.app).folder(tree);
    assertArrayEquals(new String[] {"cat", "dog"}, sorted(copy));
    assertArrayEquals(new String[] {"1.png", "2.JPG"}, sorted(new File(copy, "cat")));
    assertEquals(
        "root/dog/1.png",
        new String(
            Files.readAllBytes(new File(copy, "dog/1.png").toPath()), StandardCharsets.UTF_8));
  }

  @Test
  public void refusedFolderLeavesTheOldDataAlone() throws Exception {
    File old = new DataImport(phone.app).folder(tree("root/cat/", "root/cat/1.png"));
    String[][] refused = {
      {"root/loose.png"},
      {"root/cat/"},
      // '|' stands for a slash in the name that the other app tells.
      {"root/..|..|shared_prefs/", "root/..|..|shared_prefs/1.png"},
      {"root/cat/", "root/cat/..|1.png"},
    };
    for (String[] files : refused) {
      Uri tree = tree(files);
      assertThrows(DataException.class, () -> new DataImport(phone.app).folder(tree));
      assertTrue(new File(old, "cat/1.png").exists());
    }
    assertFalse(new File(phone.app.getDataDir(), "shared_prefs/1.png").exists());
  }

  private static String[] sorted(File folder) {
    String[] names = folder.list();
    Arrays.sort(names);
    return names;
  }
}
